"""Syntax tree of EXPR (packet filter expression): iptables matches combined with and, or, not; and its evaluation.

`holds` and `check_of` evaluate an `Expression` for one `Packet`. The result is None if the packet lacks a field that
the answer needs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from engine.rulesets.model import Family, Match
from simulator.matches import PacketCheck, Truth, compile_matches
from simulator.packets import Packet


@dataclass(frozen=True, slots=True)
class Leaf:
    """Matches that must all hold, for packets of one family or (None) of either."""

    matches: tuple[Match, ...]
    family: Family | None = None


@dataclass(frozen=True, slots=True)
class Negated:
    """True if the part is false."""

    part: "Expression"


@dataclass(frozen=True, slots=True)
class AllOf:
    """True if every part is true, also without parts. No part is itself an `AllOf`."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True if at least one part is true; false without parts. No part is itself an `AnyOf`."""

    parts: tuple["Expression", ...]


Expression = Leaf | Negated | AllOf | AnyOf

EVERYTHING = AllOf(())
"""Meaning of an empty expression."""


def all_of(*parts: Expression) -> Expression:
    """Join parts with "and"."""
    flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, AllOf) else (part,)))
    return flat[0] if len(flat) == 1 else AllOf(flat)


def any_of(*parts: Expression) -> Expression:
    """Join parts with "or"."""
    flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, AnyOf) else (part,)))
    return flat[0] if len(flat) == 1 else AnyOf(flat)


def holds(expression: Expression, packet: Packet) -> Truth:
    """Return whether a packet matches an expression; None if the packet lacks a field for the answer."""
    return check_of(expression)(packet)


@lru_cache(maxsize=64)
def check_of(expression: Expression) -> PacketCheck:
    """Compile an expression into a fast check of many packets, with the results of `holds`."""
    return _check(expression)


def _check(expression: Expression) -> PacketCheck:
    match expression:
        case Leaf():
            return _leaf(expression)
        case Negated(part):
            inner = _check(part)
            return lambda packet: None if (held := inner(packet)) is None else not held
        case AllOf(parts):
            return _until([_check(part) for part in parts], decisive=False)
        case AnyOf(parts):
            return _until([_check(part) for part in parts], decisive=True)


def _leaf(leaf: Leaf) -> PacketCheck:
    families = tuple(Family) if leaf.family is None else (leaf.family,)
    checks: Mapping[Family, PacketCheck] = {family: _conjunction(leaf.matches, family) for family in families}
    return lambda packet: (check := checks.get(packet.family)) is not None and check(packet)


def _conjunction(matches: tuple[Match, ...], family: Family) -> PacketCheck:
    return _until([test.check for test in compile_matches(matches, family, {})], decisive=False)


def _until(checks: list[PacketCheck], *, decisive: bool) -> Callable[[Packet], Truth]:
    """Return a check that stops at the first decisive part; otherwise an unknown part makes the result unknown."""

    def check(packet: Packet) -> Truth:
        answer: Truth = not decisive
        for each in checks:
            held = each(packet)
            if held is decisive:
                return decisive
            answer = None if held is None else answer
        return answer

    return check
