"""Matches on packet bytes: u32 (extracts numbers, masks, shifts and compares them) and string (searches a text).

`OPTIONS` and `GROUPS` map options and modules to definitions (`MatchOption`, `MatchGroup`), which the engines of the
simulator evaluate. A read past the end of the packet does not match. The result is None (unknown) if it depends on
unknown bytes.

Source: iptables-extensions(8); ``u32_match_it`` of the kernel's xt_u32, ``skb_find_text`` used by xt_string.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.rulesets.model import Family
from simulator.matches.base import (
    EVERYWHERE,
    CompiledMatch,
    MatchGroup,
    MatchOption,
    OptionGroup,
    PacketCheck,
    Truth,
    bare,
    one,
    option,
    spelled,
    value,
    without_sets,
)
from simulator.matches.breakpoints import READS_BYTES
from simulator.matches.formula import ON_THE_WIRE
from simulator.matches.transport_options import NO_PAYLOAD, deeper
from simulator.packets import Packet, bytes_of, known_bits, protocol_names

_STEP = re.compile(r"(<<|>>|&|@)(0x[0-9a-fA-F]+|[0-9]+)")
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|[0-9]+")
_BITS = 0xFFFFFFFF
_LIMIT = 11  # limit of tests in a match, and of operations in a location

ByteRange = tuple[int, int]

ByteWord = tuple[int, int]
"""32 bits read from a packet, with a mask of the known bits."""


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One u32 test: the start offset, the operations, and the ranges that the result must be in."""

    start: int
    steps: tuple[tuple[str, int], ...]
    ranges: tuple[ByteRange, ...]

    def holds(self, data: bytes, known: bytes) -> Truth:
        """Return whether the bytes of a packet satisfy the test; None if that depends on unknown bits."""
        at, word = 0, _read(data, known, self.start)
        for operator, number in self.steps:
            if word is None:
                return False
            if operator == "@":
                if word[1] != _BITS:
                    return None
                at += word[0]
                word = _read(data, known, at + number)
            else:
                word = _ARITHMETIC[operator](*word, number)
        if word is None:
            return False
        return None if word[1] != _BITS else any(low <= word[0] <= high for low, high in self.ranges)


_ARITHMETIC: Mapping[str, Callable[[int, int, int], ByteWord]] = {
    "&": lambda value, known, number: (value & number, known | _BITS ^ number),
    "<<": lambda value, known, number: (value << number & _BITS, (known << number | (1 << number) - 1) & _BITS),
    ">>": lambda value, known, number: (value >> number, known >> number | _BITS ^ _BITS >> number),
}


def _read(data: bytes, known: bytes, at: int) -> ByteWord | None:
    if at + 4 > len(data):
        return None
    return int.from_bytes(data[at : at + 4]), int.from_bytes(known[at : at + 4])


def _u32(values: tuple[str, ...], _family: Family) -> PacketCheck:
    comparisons = tuple(_comparison(text) for text in one(values).split("&&"))
    if len(comparisons) > _LIMIT:
        raise ValueError(values)

    def check(packet: Packet) -> Truth:
        data = bytes_of(packet)
        if data is None:
            return None
        known = known_bits(packet, data)
        truths = [comparison.holds(data, known) for comparison in comparisons]
        return False if False in truths else None if None in truths else True

    return check


def _comparison(text: str) -> _Comparison:
    location, equals, wanted = text.partition("=")
    start = _NUMBER.match(location)
    if not equals or start is None:
        raise ValueError(text)
    steps = _STEP.findall(location[start.end() :])
    if "".join(operator + number for operator, number in steps) != location[start.end() :] or len(steps) >= _LIMIT:
        raise ValueError(text)
    numbers = tuple((operator, protocol_names.number(number, _BITS)) for operator, number in steps)
    return _Comparison(
        protocol_names.number(start[0], _BITS), numbers, tuple(_range(part) for part in wanted.split(","))
    )


def _range(text: str) -> ByteRange:
    low, colon, high = text.partition(":")
    first = protocol_names.number(low, _BITS)
    return first, protocol_names.number(high, _BITS) if colon else first


def _string(group: OptionGroup, _family: Family) -> CompiledMatch:
    """Return the check that the pattern lies between both offsets, counted from the network header."""
    wanted = option(group, "string") or option(group, "hex-string")
    if wanted is None:
        raise ValueError(spelled(*group))
    text = one(wanted.values)
    pattern = _unhexed(text) if wanted.option == "hex-string" else text.encode("latin-1")
    first, last = (
        protocol_names.number(value(group, "from", "0"), 0xFFFF),
        protocol_names.number(value(group, "to", "65535"), 0xFFFF),
    )
    folded = option(group, "icase") is not None

    def check(packet: Packet) -> Truth:
        data = bytes_of(packet)
        if data is None:
            return None
        found = (data.lower() if folded else data).find(pattern.lower() if folded else pattern, first)
        return (found >= 0 and found + len(pattern) <= last) is not wanted.negated

    return CompiledMatch(spelled(*group), check, "needs bytes that can exist on the wire", made_up=NO_PAYLOAD)


def _unhexed(text: str) -> bytes:
    """Parse text in which parts between bars are hexadecimal."""
    parts = text.split("|")
    if len(parts) % 2 == 0:
        raise ValueError(text)
    return b"".join(bytes.fromhex(part) if place % 2 else part.encode("latin-1") for place, part in enumerate(parts))


GROUPS: Mapping[str, MatchGroup] = {
    "string": MatchGroup(evaluate=without_sets(_string), breakpoints=READS_BYTES, condition=ON_THE_WIRE)
}

OPTIONS: Mapping[tuple[str, str], MatchOption] = {
    ("u32", ""): bare(),
    ("u32", "u32"): deeper(_u32, EVERYWHERE, "bytes", made_up=""),
}
