"""The units of all rules as the optimised layout sees them: each in its place, taken apart by what it matches."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar

from engine.compiler.optimised.prefix_index import DecisionEntries, PrefixEntries
from engine.compiler.rule_parts import RuleUnit, UnitWithSet, everything
from engine.compiler.traffic import Matches, protocol_match
from engine.policy.completed_rules import PortRange, Protocol
from engine.rulesets.model import Family, IpSet, Match, Target
from engine.rulesets.ownership import digest, member_comment

TargetLines = tuple[tuple[Matches, Target], ...]
"""What decides: targets with what each still has to match, the first that does."""

WIDTHS = {Family.IPV4: 32, Family.IPV6: 128}
"""Family -> how many bits an address has."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChainPlace:
    """Whose chains are laid out: their family, how their names begin, and on which side of packets addresses are."""

    family: Family
    base: str
    side: str


@dataclass(slots=True, eq=False)
class Term:
    """A unit in its place among all others, with the addresses that reach it; None is every address.

    Terms are told apart by identity, and that of a unit stays the same while the unit does.
    """

    unit: RuleUnit
    protocol: str
    ports: tuple[PortRange, ...] | None
    """The ports that it is about, None where it is about the protocol whatever its ports."""
    also: Matches
    """What of the traffic is matched besides protocol and ports."""
    addresses: PrefixEntries | None
    found: IpSet | None
    """The set that has just these addresses, if there is one."""
    lines: TargetLines
    """What decides, with what a target needs to have matched; terms that decide alike have the same."""
    mark: str
    """Stands for the lines, in names and where they are compared."""
    told: str
    """Whose it is, as the comment of a set's member."""
    plain: bool
    """Whether nothing but the address is left to match once the port is known."""
    number: int = 0
    """Its place among all others at the time."""

    @property
    def final(self) -> bool:
        """Whether nothing gets past it."""
        return self.addresses is None and not self.also and any(not extra for extra, _ in self.unit.lines)

    @property
    def named(self) -> str:
        """What it is called in names: whose it is, and about what."""
        return digest(self.unit.told.values[0], repr(self.unit.traffic), digits=8)

    def reach(self, family: Family) -> PrefixEntries:
        """Return the addresses that reach it as entries of a set."""
        return everything(family) if self.addresses is None else self.addresses


def term_of(given: UnitWithSet) -> Term:
    """Return a unit taken apart."""
    protocol, ports, also = "", None, list[Match]()
    for match in given.unit.traffic:
        if (match.module, match.option) == ("", "protocol"):
            protocol = match.values[0]
        elif match.option in {"dport", "dports"}:
            ports = tuple(map(_range, match.values[0].split(",")))
        else:
            also.append(match)
    rejecting = any(target.name == "REJECT" for _, target in given.unit.lines)
    # A rule that rejects or matches a protocol's own fields has to show the kernel which protocol it is about.
    needed = protocol_match(Protocol(protocol)) if protocol and (also or rejecting) else ()
    lines = tuple((extra or needed, target) for extra, target in given.unit.lines)
    plain = not also and given.unit.log is None
    told = member_comment(given.unit.told.values[0])
    return Term(
        given.unit, protocol, ports, tuple(also), given.addresses, given.found, lines, _mark(lines), told, plain
    )


@cache
def _mark(lines: TargetLines) -> str:
    return digest(repr(lines))


def _range(text: str) -> PortRange:
    first, _, last = text.partition(":")
    return int(first), int(last or first)


def holdings(terms: Sequence[Term]) -> list[DecisionEntries[Term]]:
    """Return terms with the addresses that they are about, none for those about every address."""
    return [(term, term.addresses or ()) for term in terms]


@dataclass(frozen=True, slots=True)
class SequenceEdit(Generic[T]):
    """What turns a sequence into another: what is no longer there, and what is there that was not, each in its order.

    ``in_order`` says whether all that stayed kept its order.
    """

    gone: Sequence[T]
    new: Sequence[T]
    in_order: bool


def edit(before: Sequence[T], after: Sequence[T]) -> SequenceEdit[T]:
    """Return what turns a sequence into another, neither of which has anything twice; told apart by identity."""
    least = min(len(before), len(after))
    begin = _alike(before, after)
    alike = min(_alike(before[::-1], after[::-1]), least - begin)
    # Nearly everything is alike at both ends, as a rule.
    old = dict.fromkeys(before[begin : len(before) - alike])
    new = dict.fromkeys(after[begin : len(after) - alike])
    in_order = [each for each in old if each in new] == [each for each in new if each in old]
    return SequenceEdit([each for each in old if each not in new], [each for each in new if each not in old], in_order)


def _alike(one: Sequence[T], other: Sequence[T]) -> int:
    """Return with how many of the same two sequences begin."""
    least, begin = min(len(one), len(other)), 0
    while begin < least and list(one[begin : begin + _CHUNK]) == list(other[begin : begin + _CHUNK]):
        begin += _CHUNK
    begin = min(begin, least)
    pairs = zip(one[begin:], other[begin:], strict=False)
    return next((begin + number for number, (mine, its) in enumerate(pairs) if mine is not its), least)


_CHUNK = 256
"""So many are compared at once, which is quicker."""
