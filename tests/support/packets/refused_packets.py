"""Packets that the kernel answers by an error."""

from engine.rulesets.model import Family
from simulator.packets import Packet
from simulator.packets.dissect import ICMP_ERRORS

ANSWERED_ICMP = {Family.IPV4: range(19), Family.IPV6: range(128, 256)}
"""The ICMP types that the kernel answers by an error, if they are no errors (icmp_send, icmp6_send)."""


def is_error(packet: Packet) -> bool:
    """Return whether it is an ICMP error."""
    return packet.icmp is not None and packet.icmp[0] in ICMP_ERRORS[packet.family]


def answerable(packet: Packet) -> bool:
    """Return whether the kernel answers a packet by an error: never one to a group, not every kind of ICMP."""
    if packet.dst.is_multicast:
        return False
    return packet.icmp is None or (packet.icmp[0] in ANSWERED_ICMP[packet.family] and not is_error(packet))
