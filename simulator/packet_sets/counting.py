"""Questions about a packet set: its number of headers, an example packet, and the values of a field in it.

Input: a `PacketSpace`, and a set of packets in it. Output of `count`: the number of distinct headers (addresses,
protocol, ports or ICMP type and code). Output of `example`: an `ExamplePacket`, or None for an empty set.

If possible, the example is an ordinary packet, such as the first TCP packet of a connection between documentation
addresses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from math import prod

from engine.rulesets.model import Family
from simulator.matches.formula import STATES, Formula, MaskedBits, Within, state_condition, within
from simulator.packet_sets.bdd import BddFunction, halves, holds, is_false, is_true, top, way
from simulator.packet_sets.fields import ABSENT, FieldSort
from simulator.packet_sets.space import FieldAxis, Occurrence, PacketSpace
from simulator.packet_sets.value_classes import ValueRange
from simulator.packets import TCP_FLAGS, ConnState, Packet, protocol_names


@dataclass(frozen=True, slots=True)
class ExamplePacket:
    """Packet of a set, with the results of unmodelled matches that put it into the set."""

    packet: Packet
    answers: Mapping[Occurrence, bool]
    chosen: Mapping[int, bool]

    def is_in(self, found: BddFunction) -> bool:
        """Return whether the packet is in another set of the same space."""
        return holds(found, self.chosen)


def count(space: PacketSpace, found: BddFunction) -> int:
    """Return the number of headers in a packet set.

    A header is source, destination, protocol, and ports or ICMP type and code. Other fields, such as interfaces, states
    and marks, are not part of it. A header counts once if the set has it with any values of the other fields.
    """
    others = [bit for axis in space.axes.values() if not axis.field.counted for bit in axis.variables]
    found = space.diagram.some(space.somehow(found), others)
    axes = [axis for axis in space.axes.values() if axis.field.counted]
    asked = [axis for axis in axes if axis.variables]
    return _Count(asked).of(found) * prod(_sums(axis)[-1] for axis in axes if not axis.variables)


class _Count:
    """Counter of the values that a diagram covers, weighted by the size of each value class."""

    def __init__(self, axes: Sequence[FieldAxis]) -> None:
        self._axes = axes
        self._known: dict[tuple[BddFunction, int, int, int], int] = {}
        self._sums = [_sums(axis) for axis in axes]

    def of(self, found: BddFunction, place: int = 0, at: int = 0, low: int = 0) -> int:
        """Return the number of headers in a diagram below one bit of a field.

        Args:
            found: The diagram.
            place: Index of the field.
            at: Index of the bit in the field.
            low: First class that the values of the field's earlier bits allow.
        """
        if is_false(found):
            return 0
        if place == len(self._axes):
            return 1
        key = (found, place, at, low)
        if key not in self._known:
            self._known[key] = self._counted(found, place, at, low)
        return self._known[key]

    def _counted(self, found: BddFunction, place: int, at: int, low: int) -> int:
        axis, sums = self._axes[place], self._sums[place]
        size = 1 << len(axis.variables) - at
        begin, end = min(low, len(sums) - 1), min(low + size, len(sums) - 1)
        if begin == end:
            return 0
        level = top(found)
        if level is None or level >= axis.span.stop:
            return (sums[end] - sums[begin]) * self.of(found, place + 1)
        if level > axis.span.start + at:
            upper = lower = found
        else:
            upper, lower = halves(found)
        half = size // 2
        if half == 1:
            upper_sum = sums[min(low + 2, len(sums) - 1)] - sums[min(low + 1, len(sums) - 1)]
            lower_sum = sums[min(low + 1, len(sums) - 1)] - sums[begin]
            return upper_sum * self.of(upper, place + 1) + lower_sum * self.of(lower, place + 1)
        return self.of(upper, place, at + 1, low + half) + self.of(lower, place, at + 1, low)


def _sums(axis: FieldAxis) -> Sequence[int]:
    return axis.partition.sums if axis.partition is not None else range((1 << len(axis.bits)) + 1)


def values(space: PacketSpace, found: BddFunction, name: str) -> list[ValueRange]:
    """Return the values that a numeric field has in a set, in as few ranges as possible."""
    axis = space.axes[name]
    if axis.partition is None:
        raise KeyError(name)
    return axis.partition.ranges(_classes(space, found, axis))


def labelled(space: PacketSpace, found: BddFunction, name: str) -> list[str]:
    """Return the labels of the values that a field of names has in a set."""
    axis = space.axes[name]
    return [axis.labels[place] for place in _classes(space, found, axis)]


def _classes(space: PacketSpace, found: BddFunction, axis: FieldAxis) -> list[int]:
    """Return the classes of a field's values that occur in a set."""
    others = [bit for each in space.axes.values() if each is not axis for bit in each.variables]
    found = space.diagram.some(space.somehow(found), others)
    classes: list[int] = []

    def collect(function: BddFunction, at: int, low: int) -> None:
        if is_false(function):
            return
        size = 1 << len(axis.variables) - at
        if is_true(function):
            classes.extend(range(low, min(low + size, axis.count)))
            return
        upper, lower = (function, function) if top(function) != axis.span.start + at else halves(function)
        collect(lower, at + 1, low)
        collect(upper, at + 1, low + size // 2)

    collect(found, 0, 0)
    return classes


_NICE: Mapping[Family, Mapping[str, Sequence[int]]] = {
    Family.IPV4: {
        name: [int(IPv4Address(text)) for text in texts.split()]
        for name, texts in {
            "src": "198.51.100.7 203.0.113.7 10.0.0.7 172.16.0.7 192.168.0.7",
            "dst": "192.0.2.10 10.0.0.10 172.16.0.10 192.168.0.10",
        }.items()
    },
    Family.IPV6: {
        "src": [int(IPv6Address("2001:db8:51::7"))],
        "dst": [int(IPv6Address("2001:db8:2::10"))],
    },
}
_NICE_NUMBERS: Mapping[str, Sequence[int]] = {
    "sport": (40000, 50000, 1024),
    "dport": (80, 8080, 40001),
    "ttl": (64, 255),
    "length": (60, 84, 1500),
    "icmp": (8 << 8, 128 << 8),
    "protocol": (
        protocol_names.TCP,
        protocol_names.UDP,
        protocol_names.ICMP,
        protocol_names.ICMPV6,
        protocol_names.SCTP,
    ),
}


def _preferences() -> list[tuple[str, Formula]]:
    """Return conditions on a good example, such as a new connection and TCP, the most important first."""
    return [
        ("fragment", MaskedBits("fragment", 1, 0)),
        ("state", state_condition(ConnState.NEW)),
        *(("protocol", within("protocol", (number, number))) for number in (protocol_names.TCP, protocol_names.UDP)),
        ("flags", MaskedBits("flags", 0xFF, 1 << TCP_FLAGS.index("SYN"))),
        ("flags", MaskedBits("flags", 0xFF, 1 << TCP_FLAGS.index("ACK"))),
        ("mark", MaskedBits("mark", 0xFFFFFFFF, 0)),
        ("tos", MaskedBits("tos", 0xFF, 0)),
    ]


def example(space: PacketSpace, found: BddFunction) -> ExamplePacket | None:
    """Return an ordinary packet of a set, or None if the set is empty."""
    if is_false(found):
        return None
    for name, condition in _preferences():
        found = _narrowed(found, _wished(space, name, condition))
    for name in ("dport", "sport", "dst", "src", "icmp", "ttl", "length"):
        for value in (*_NICE[space.family].get(name, ()), *_NICE_NUMBERS.get(name, ())):
            axis = space.axes[name]
            if (
                axis.partition is not None
                and is_false(found & _at(space, axis, axis.partition.class_of(value))) is False
            ):
                found &= _at(space, axis, axis.partition.class_of(value))
                break
    for name in ("in_interface", "out_interface"):
        axis = space.axes[name]
        found = _narrowed(found, _at(space, axis, axis.count - 1))
    chosen = dict(way(found) or ())
    answers = {key: chosen[place] for key, place in _free_places(space) if place in chosen}
    return ExamplePacket(packet_of(space, chosen), answers, chosen)


def _narrowed(found: BddFunction, wished: BddFunction) -> BddFunction:
    narrower = found & wished
    return found if is_false(narrower) else narrower


def _wished(space: PacketSpace, name: str, condition: Formula) -> BddFunction:
    """Return a preference as a packet set, even if the space does not support its condition."""
    axis = space.axes[name]
    if isinstance(condition, MaskedBits):
        return space.function(condition)
    if isinstance(condition, Within) and axis.partition is not None:
        return _at(space, axis, axis.partition.class_of(int(condition.bounds[0][0])))
    raise TypeError(condition)


def _at(space: PacketSpace, axis: FieldAxis, place: int) -> BddFunction:
    return space.among(axis.variables, [place])


def _free_places(space: PacketSpace) -> list[tuple[Occurrence, int]]:
    found = ((key, top(variable)) for key, variable in space.free_variables.items())
    return [(key, place) for key, place in found if place is not None]


def packet_of(space: PacketSpace, chosen: Mapping[int, bool]) -> Packet:
    """Return a packet for an assignment of variables; fields of variables without a value are chosen freely."""
    numbers = {name: _chosen(space, axis, chosen) for name, axis in space.axes.items()}
    address = IPv4Address if space.family is Family.IPV4 else IPv6Address
    icmp = numbers["icmp"]
    protocol = numbers["protocol"]
    return Packet(
        src=address(numbers["src"]),
        dst=address(numbers["dst"]),
        protocol=protocol,
        sport=_given(numbers["sport"]),
        dport=_given(numbers["dport"]),
        flags=frozenset(flag for place, flag in enumerate(TCP_FLAGS) if numbers["flags"] >> place & 1),
        icmp=None if icmp == ABSENT else divmod(icmp, 256),
        in_interface=space.axes["in_interface"].names[numbers["in_interface"]],
        out_interface=space.axes["out_interface"].names[numbers["out_interface"]],
        state=STATES[numbers["state"]],
        mark=numbers["mark"],
        length=numbers["length"] if space.axes["length"].variables else None,
        ttl=numbers["ttl"],
        tos=numbers["tos"],
        mac=(space.axes["mac"].names[numbers["mac"]] or None) if space.axes["mac"].count > _UNASKED else None,
        fragment=bool(numbers["fragment"]),
    )


_UNASKED = 2
"""Number of classes of a name field that no condition mentions: no name, and all other names."""


def _given(number: int) -> int | None:
    return None if number == ABSENT else number


def _chosen(space: PacketSpace, axis: FieldAxis, chosen: Mapping[int, bool]) -> int:
    """Return the value of a field in an assignment; for a name field the index of its class."""
    bits = [chosen.get(place, False) for place in axis.span]
    if axis.field.sort is FieldSort.BITS:
        return sum(1 << place for place, bit in zip(axis.bits, bits, strict=True) if bit)
    place = sum(1 << at for at, bit in enumerate(reversed(bits)) if bit)
    if axis.partition is None:
        return place
    return _usual(space.family, axis, axis.partition.ranges([place]))


def _usual(family: Family, axis: FieldAxis, ranges: Sequence[ValueRange]) -> int:
    """Return an ordinary value from one of the ranges."""
    name = axis.field.name
    for value in (*_NICE[family].get(name, ()), *_NICE_NUMBERS.get(name, ())):
        if any(low <= value <= high for low, high in ranges):
            return value
    low, high = ranges[0]
    return low + 1 if axis.field.last > 0xFFFF and low < high else low
