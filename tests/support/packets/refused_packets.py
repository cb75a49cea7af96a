"""Tells whether the kernel answers a packet with an ICMP error."""

from engine.rulesets.model import Family
from simulator.packets import Packet
from simulator.packets.dissect import ICMP_ERRORS

ANSWERED_ICMP = {Family.IPV4: range(19), Family.IPV6: range(128, 256)}
"""ICMP types that the kernel answers with an error, if they are not errors themselves (icmp_send, icmp6_send)."""


def is_error(packet: Packet) -> bool:
    """Return True for an ICMP error."""
    return packet.icmp is not None and packet.icmp[0] in ICMP_ERRORS[packet.family]


def answerable(packet: Packet) -> bool:
    """Return True if the kernel answers a packet with an error: not for multicast, and not for every ICMP type."""
    if packet.dst.is_multicast:
        return False
    return packet.icmp is None or (packet.icmp[0] in ANSWERED_ICMP[packet.family] and not is_error(packet))
