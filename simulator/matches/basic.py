"""The options every rule has: addresses, interfaces, protocol, fragment (iptables(8), PARAMETERS).

They behave as ``ip_packet_match`` and ``ip6_packet_match`` in the kernel.
"""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address

from engine.rulesets.model import Family
from simulator.context import UNKNOWN_INTERFACE
from simulator.matches.base import MatchEvaluator, PacketCheck, one
from simulator.packets import Packet, protocol_names

MaskedAddress = tuple[int, int]
"""An address and a mask as numbers; the address has no bit outside the mask."""

BITS: Mapping[Family, int] = {Family.IPV4: 32, Family.IPV6: 128}
_ADDRESS: Mapping[Family, type[IPv4Address] | type[IPv6Address]] = {
    Family.IPV4: IPv4Address,
    Family.IPV6: IPv6Address,
}


def address_number(text: str, family: Family) -> int:
    """Read an address as a number.

    Raises:
        ValueError: it is no address of the family.
    """
    return int(_ADDRESS[family](text))


def masked(text: str, family: Family) -> MaskedAddress:
    """Read ``ADDRESS``, ``ADDRESS/PREFIX`` or ``ADDRESS/MASK``, whose mask may have holes.

    Raises:
        ValueError: it is none of them.
    """
    address, slash, mask_text = text.partition("/")
    bits = BITS[family]
    mask = _mask(mask_text, family) if slash else (1 << bits) - 1
    return address_number(address, family) & mask, mask


def _mask(text: str, family: Family) -> int:
    if not text.isdigit():
        return address_number(text, family)
    bits = BITS[family]
    prefix = protocol_names.number(text, bits)
    return ((1 << prefix) - 1) << (bits - prefix)


def _source(values: tuple[str, ...], family: Family) -> PacketCheck:
    ranges = _alternatives(values, family)
    if len(ranges) == 1:  # the usual case, and the one that runs for every packet
        address, mask = ranges[0]
        return lambda packet: int(packet.src) & mask == address
    return lambda packet: any(int(packet.src) & mask == address for address, mask in ranges)


def _destination(values: tuple[str, ...], family: Family) -> PacketCheck:
    ranges = _alternatives(values, family)
    if len(ranges) == 1:
        address, mask = ranges[0]
        return lambda packet: int(packet.dst) & mask == address
    return lambda packet: any(int(packet.dst) & mask == address for address, mask in ranges)


def _alternatives(values: tuple[str, ...], family: Family) -> tuple[MaskedAddress, ...]:
    """``-s A,B`` stands for one rule per address; iptables-save never prints it."""
    return tuple(masked(text, family) for text in one(values).split(","))


def _interface(side: Callable[[Packet], str]) -> Callable[[tuple[str, ...], Family], PacketCheck]:
    """A trailing ``+`` stands for any ending, alone for any interface or none."""

    def read(values: tuple[str, ...], _family: Family) -> PacketCheck:
        name = one(values)
        if not name.endswith("+"):
            return lambda packet: None if side(packet) == UNKNOWN_INTERFACE else side(packet) == name
        start = name[:-1]
        if not start:
            return lambda _packet: True
        return lambda packet: None if side(packet) == UNKNOWN_INTERFACE else side(packet).startswith(start)

    return read


def _protocol(values: tuple[str, ...], _family: Family) -> PacketCheck:
    """0 and ``all`` are every protocol; ``icmp`` is number 1 in ip6tables too."""
    protocol = protocol_names.protocol_number(one(values))
    if protocol == 0:
        return lambda _packet: True
    return lambda packet: packet.protocol == protocol


def _fragment(_values: tuple[str, ...], _family: Family) -> PacketCheck:
    return lambda packet: packet.fragment


EVALUATORS: Mapping[tuple[str, str], MatchEvaluator] = {
    ("", "source"): MatchEvaluator(_source),
    ("", "destination"): MatchEvaluator(_destination),
    ("", "in-interface"): MatchEvaluator(_interface(lambda packet: packet.in_interface), needs="the in interface"),
    ("", "out-interface"): MatchEvaluator(_interface(lambda packet: packet.out_interface), needs="the out interface"),
    ("", "protocol"): MatchEvaluator(_protocol),
    ("", "fragment"): MatchEvaluator(_fragment),
}
