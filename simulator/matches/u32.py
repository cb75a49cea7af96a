"""The u32 match: numbers read from the packet's bytes, masked, shifted and compared.

Source: iptables-extensions(8), u32; ``u32_match_it`` of the kernel's xt_u32. What is read past the end does not match.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.errors import Refused
from engine.ruleset import Family
from simulator.matches.base import Check, Evaluator, Truth, one
from simulator.packets import Packet, names, to_wire

_STEP = re.compile(r"(<<|>>|&|@)(0x[0-9a-fA-F]+|[0-9]+)")
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|[0-9]+")
_BITS = 0xFFFFFFFF
_LIMIT = 11  # tests in one match, operations in one location

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Where to read, what to do with it, and the ranges that the outcome has to be in."""

    start: int
    steps: tuple[tuple[str, int], ...]
    ranges: tuple[Range, ...]

    def holds(self, data: bytes) -> bool:
        """Return whether the bytes of a packet satisfy it."""
        at, value = 0, _read(data, self.start)
        for operator, number in self.steps:
            if value is None:
                return False
            if operator == "@":
                at += value
                value = _read(data, at + number)
            else:
                value = _ARITHMETIC[operator](value, number) & _BITS
        return value is not None and any(low <= value <= high for low, high in self.ranges)


_ARITHMETIC: Mapping[str, Callable[[int, int], int]] = {
    "&": lambda value, number: value & number,
    "<<": lambda value, number: value << number,
    ">>": lambda value, number: value >> number,
}


def _read(data: bytes, at: int) -> int | None:
    return int.from_bytes(data[at : at + 4]) if at + 4 <= len(data) else None


def _u32(values: tuple[str, ...], _family: Family) -> Check:
    comparisons = tuple(_comparison(text) for text in one(values).split("&&"))
    if len(comparisons) > _LIMIT:
        raise ValueError(values)

    def check(packet: Packet) -> Truth:
        if packet.protocol == names.IGMP and packet.igmp is None:
            return None
        try:
            data = to_wire(packet)
        except Refused:
            return None
        return all(comparison.holds(data) for comparison in comparisons)

    return check


def _comparison(text: str) -> _Comparison:
    location, equals, wanted = text.partition("=")
    start = _NUMBER.match(location)
    if not equals or start is None:
        raise ValueError(text)
    steps = _STEP.findall(location[start.end() :])
    if "".join(operator + number for operator, number in steps) != location[start.end() :] or len(steps) >= _LIMIT:
        raise ValueError(text)
    numbers = tuple((operator, names.number(number, _BITS)) for operator, number in steps)
    return _Comparison(names.number(start[0], _BITS), numbers, tuple(_range(part) for part in wanted.split(",")))


def _range(text: str) -> Range:
    low, colon, high = text.partition(":")
    first = names.number(low, _BITS)
    return first, names.number(high, _BITS) if colon else first


EVALUATORS: Mapping[tuple[str, str], Evaluator] = {
    ("u32", ""): Evaluator(lambda _values, _family: lambda _packet: True),
    ("u32", "u32"): Evaluator(_u32, needs="bytes that can exist on the wire"),
}
