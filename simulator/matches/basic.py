"""Matches that every rule can have without ``-m``: addresses, interfaces, protocol, fragment.

`OPTIONS` maps each option to its definition (`MatchOption`), which the engines of the simulator evaluate. Source:
iptables(8), PARAMETERS; ``ip_packet_match`` and ``ip6_packet_match`` of the kernel.
"""

from collections.abc import Callable, Iterator, Mapping

from engine.rulesets.canonical.numbers import BITS, MaskedAddress, address_number, masked
from engine.rulesets.model import Family
from simulator.context import UNKNOWN_INTERFACE
from simulator.matches.base import CheckReader, Condition, MatchOption, PacketCheck, one
from simulator.matches.breakpoints import NO_RANGES, BreakpointContext, Span, ValueKind
from simulator.matches.formula import TRUE, Formula, MaskedBits, NameCondition, within
from simulator.packets import Packet, protocol_names

__all__ = ["BITS", "OPTIONS", "MaskedAddress", "address_number", "masked"]


_HOLES = 12
"""Largest number of bits in the holes of a mask; more bits would give too many ranges."""


def network_span(text: str, family: Family) -> Span:
    """Return the addresses of a network, or of a single address.

    Raises:
        ValueError: the text is neither, or the mask has holes.
    """
    address, mask = masked(text, family)
    size = (1 << BITS[family]) - mask
    if size & size - 1:
        raise ValueError(text)
    return ValueKind.ADDRESS, address, address + size


def networks(word: str, context: BreakpointContext) -> Iterator[Span]:
    """Return the breakpoints of networks, separated by commas."""
    return (network_span(text, context.family) for text in word.split(","))


def _addresses(field: str) -> Condition:
    """Return a reader of the condition for ``ADDRESS[/MASK]``, or for several of them, separated by commas."""

    def read(values: tuple[str, ...], family: Family) -> Formula:
        return within(field, *(each for text in one(values).split(",") for each in _masked_ranges(text, family)))

    return read


def _masked_ranges(text: str, family: Family) -> list[tuple[int, int]]:
    """Return the ranges of addresses that an address and mask match.

    Raises:
        ValueError: the mask's holes have too many bits.
    """
    address, mask = masked(text, family)
    free = (1 << BITS[family]) - 1 - mask
    block = (free ^ free + 1) >> 1  # the contiguous free bits at the end
    holes = free & ~block
    if holes.bit_count() > _HOLES:
        raise ValueError(text)
    found, hole = [], 0
    while True:
        found.append((address | hole, address | hole | block))
        hole = (hole - holes) & holes
        if not hole:
            return found


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
    """Return the addresses of ``-s A,B``, which stands for one rule each; iptables-save never prints it."""
    return tuple(masked(text, family) for text in one(values).split(","))


def _interface(side: Callable[[Packet], str]) -> CheckReader:
    """Return a reader of the check for an interface; a final ``+`` stands for any rest, alone also for no interface."""

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
    """Return the check for a protocol; 0 and ``all`` mean every protocol, ``icmp`` is 1 in ip6tables too."""
    protocol = protocol_names.protocol_number(one(values))
    if protocol == 0:
        return lambda _packet: True
    return lambda packet: packet.protocol == protocol


def _fragment(_values: tuple[str, ...], _family: Family) -> PacketCheck:
    return lambda packet: packet.fragment


def _called(field: str) -> Condition:
    def read(values: tuple[str, ...], _family: Family) -> Formula:
        name = one(values)
        return TRUE if name == "+" else NameCondition(field, name)

    return read


def _spoken(values: tuple[str, ...], _family: Family) -> Formula:
    number = protocol_names.protocol_number(one(values))
    return TRUE if number == 0 else within("protocol", (number, number))


OPTIONS: Mapping[tuple[str, str], MatchOption] = {
    ("", "source"): MatchOption(evaluate=_source, breakpoints=networks, condition=_addresses("src")),
    ("", "destination"): MatchOption(evaluate=_destination, breakpoints=networks, condition=_addresses("dst")),
    ("", "in-interface"): MatchOption(
        evaluate=_interface(lambda packet: packet.in_interface),
        breakpoints=NO_RANGES,
        condition=_called("in_interface"),
        needs="the in interface",
    ),
    ("", "out-interface"): MatchOption(
        evaluate=_interface(lambda packet: packet.out_interface),
        breakpoints=NO_RANGES,
        condition=_called("out_interface"),
        needs="the out interface",
    ),
    ("", "protocol"): MatchOption(evaluate=_protocol, breakpoints=NO_RANGES, condition=_spoken),
    ("", "fragment"): MatchOption(
        evaluate=_fragment, breakpoints=NO_RANGES, condition=lambda _values, _family: MaskedBits("fragment", 1, 1)
    ),
}
