"""Builders of match definitions for one number of a packet, such as a port, a length or a mark.

Input: the field, a function that reads its value from a packet, and a parser of the match's argument. Output: a
`MatchOption`, whose check, breakpoints and formula all use that parser. `in_ranges` is for ranges, `has_bits` for
masked bits.
"""

from collections.abc import Callable, Iterable

from engine.rulesets.model import Family
from simulator.matches.base import EVERYWHERE, MatchOption, PacketCheck, Scope, one
from simulator.matches.breakpoints import NO_RANGES, BreakpointContext, Span, ValueKind
from simulator.matches.formula import Formula, MaskedBits, within
from simulator.packets import Packet

Ranges = tuple[tuple[int, int], ...]
"""First and last number of each range; empty if no number matches."""

ReadRanges = Callable[[str, Family], Ranges]
ReadBits = Callable[[str], tuple[int, int]]
"""Function from a word to the value and the mask; ValueError for a word that is not understood."""

Number = Callable[[Packet], int | None]


def in_ranges(
    field: str,
    number: Number,
    read: ReadRanges,
    kind: ValueKind | None = None,
    *,
    scope: Scope = EVERYWHERE,
    needs: str = "",
) -> MatchOption:
    """Return the definition of a match on a number in ranges; a field with few values has no ``kind``."""

    def evaluate(values: tuple[str, ...], family: Family) -> PacketCheck:
        ranges = read(one(values), family)
        if len(ranges) == 1:  # the usual case, which runs for every packet
            ((low, high),) = ranges
            return lambda packet: None if (found := number(packet)) is None else low <= found <= high
        return lambda packet: None if (found := number(packet)) is None else among(found, ranges)

    def condition(values: tuple[str, ...], family: Family) -> Formula:
        return within(field, *read(one(values), family))

    breakpoints = NO_RANGES if kind is None else spans(kind, read)
    return MatchOption(evaluate=evaluate, breakpoints=breakpoints, condition=condition, scope=scope, needs=needs)


def among(number: int, ranges: Ranges) -> bool:
    """Return whether a number is in one of several ranges."""
    return any(low <= number <= high for low, high in ranges)


def spans(kind: ValueKind, read: ReadRanges) -> Callable[[str, BreakpointContext], Iterable[Span]]:
    """Return a function that returns the breakpoints of the ranges in a word."""
    return lambda word, context: ((kind, low, high + 1) for low, high in read(word, context.family))


def has_bits(field: str, number: Callable[[Packet], int], read: ReadBits) -> MatchOption:
    """Return the definition of a match on bits of a number that every packet has."""

    def evaluate(values: tuple[str, ...], _family: Family) -> PacketCheck:
        value, mask = read(one(values))
        return lambda packet: number(packet) & mask == value

    def condition(values: tuple[str, ...], _family: Family) -> Formula:
        value, mask = read(one(values))
        return MaskedBits(field, mask, value)

    return MatchOption(evaluate=evaluate, breakpoints=NO_RANGES, condition=condition)
