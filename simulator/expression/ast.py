"""What an expression is: matches of iptables, joined by and, or and not; and what it says of one packet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from engine.rulesets.model import Family, Match
from simulator.matches import PacketCheck, Truth, compile_matches
from simulator.packets import Packet


@dataclass(frozen=True, slots=True)
class Leaf:
    """All of these matches hold, and the packet is of the family, or of either; never so for one of the other."""

    matches: tuple[Match, ...]
    family: Family | None = None


@dataclass(frozen=True, slots=True)
class Negated:
    """The part does not hold."""

    part: "Expression"


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds; without parts it holds for every packet. No part is itself an `AllOf`."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds; without parts it never does. No part is itself an `AnyOf`."""

    parts: tuple["Expression", ...]


Expression = Leaf | Negated | AllOf | AnyOf

EVERYTHING = AllOf(())
"""What an empty expression means."""


def all_of(*parts: Expression) -> Expression:
    """Join parts so that all must hold."""
    flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, AllOf) else (part,)))
    return flat[0] if len(flat) == 1 else AllOf(flat)


def any_of(*parts: Expression) -> Expression:
    """Join parts so that one must hold."""
    flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, AnyOf) else (part,)))
    return flat[0] if len(flat) == 1 else AnyOf(flat)


def holds(expression: Expression, packet: Packet) -> Truth:
    """Tell whether an expression holds for a packet; None where the packet does not give what that takes."""
    return check_of(expression)(packet)


@lru_cache(maxsize=64)
def check_of(expression: Expression) -> PacketCheck:
    """Make an expression ready to be asked about many packets, as `holds`."""
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
    """Ask one check after the other until one gives the decisive answer; else what is unknown stays so."""

    def check(packet: Packet) -> Truth:
        answer: Truth = not decisive
        for each in checks:
            held = each(packet)
            if held is decisive:
                return decisive
            answer = None if held is None else answer
        return answer

    return check
