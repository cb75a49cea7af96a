"""Terms of the optimised layout: compiled rules, each split into protocol, ports, addresses and decision.

`term_of` converts a `UnitWithSet` (part of a policy rule with its address set) to a `Term`. The number of a term is
its place in evaluation order. `diff_sequences` compares two sequences of terms, so that the layout can be updated
instead of computed again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar

from engine.compiler.optimised.prefix_index import DecisionEntries, PrefixEntries
from engine.compiler.rule_parts import RuleUnit, UnitWithSet, all_addresses
from engine.compiler.traffic import Matches, protocol_match
from engine.policy.completed_rules import PortRange, Protocol
from engine.rulesets.model import Family, IpSet, Match, Target
from engine.rulesets.ownership import digest, member_comment

TargetLines = tuple[tuple[Matches, Target], ...]
"""A decision: (extra matches, target) pairs, of which the first that matches applies."""

WIDTHS = {Family.IPV4: 32, Family.IPV6: 128}
"""Family -> address width in bits."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChainPlace:
    """Chains of one layout: family, prefix of their names, and the packet side that holds the peer's address."""

    family: Family
    base: str
    side: str


@dataclass(slots=True, eq=False)
class Term:
    """A unit with its place among all units and the addresses that reach it; None is every address.

    Terms are compared by identity; a unit that stays keeps its term.
    """

    unit: RuleUnit
    protocol: str
    ports: tuple[PortRange, ...] | None
    """Destination ports that the term matches; None is the whole protocol."""
    also: Matches
    """Traffic matches besides protocol and ports."""
    addresses: PrefixEntries | None
    found: IpSet | None
    """The set with exactly these addresses, if there is one."""
    lines: TargetLines
    """The decision, with the matches that its targets need; equal for terms that decide alike."""
    mark: str
    """Digest of the lines, used in names and comparisons."""
    told: str
    """Comment of a set member: the policy and rule of the term."""
    plain: bool
    """Whether only the address is left to match once the port is known."""
    number: int = 0
    """Current place among all terms."""

    @property
    def final(self) -> bool:
        """Whether the term decides every packet that reaches it."""
        return self.addresses is None and not self.also and any(not extra for extra, _ in self.unit.lines)

    @property
    def named(self) -> str:
        """Digest of owner and traffic, used in names."""
        return digest(self.unit.told.values[0], repr(self.unit.traffic), digits=8)

    def reach(self, family: Family) -> PrefixEntries:
        """Return the addresses that reach the term, as set entries."""
        return all_addresses(family) if self.addresses is None else self.addresses


def term_of(given: UnitWithSet) -> Term:
    """Split a unit into a term."""
    protocol, ports, also = "", None, list[Match]()
    for match in given.unit.traffic:
        if (match.module, match.option) == ("", "protocol"):
            protocol = match.values[0]
        elif match.option in {"dport", "dports"}:
            ports = tuple(map(_range, match.values[0].split(",")))
        else:
            also.append(match)
    rejecting = any(target.name == "REJECT" for _, target in given.unit.lines)
    # The kernel requires a protocol match in rules with REJECT --reject-with tcp-reset or protocol-specific matches.
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


def terms_with_addresses(terms: Sequence[Term]) -> list[DecisionEntries[Term]]:
    """Return each term with its addresses; empty for terms that apply to every address."""
    return [(term, term.addresses or ()) for term in terms]


@dataclass(frozen=True, slots=True)
class SequenceEdit(Generic[T]):
    """Difference of two sequences: items removed (``gone``) and added (``new``), each in its order.

    ``in_order`` is whether all items that stayed kept their order.
    """

    gone: Sequence[T]
    new: Sequence[T]
    in_order: bool


def diff_sequences(before: Sequence[T], after: Sequence[T]) -> SequenceEdit[T]:
    """Compare two sequences without duplicates, by identity."""
    least = min(len(before), len(after))
    begin = _alike(before, after)
    alike = min(_alike(before[::-1], after[::-1]), least - begin)
    # Usually most items are the same at both ends.
    old = dict.fromkeys(before[begin : len(before) - alike])
    new = dict.fromkeys(after[begin : len(after) - alike])
    in_order = [each for each in old if each in new] == [each for each in new if each in old]
    return SequenceEdit([each for each in old if each not in new], [each for each in new if each not in old], in_order)


def _alike(one: Sequence[T], other: Sequence[T]) -> int:
    """Return the length of the common prefix of two sequences."""
    least, begin = min(len(one), len(other)), 0
    while begin < least and list(one[begin : begin + _CHUNK]) == list(other[begin : begin + _CHUNK]):
        begin += _CHUNK
    begin = min(begin, least)
    pairs = zip(one[begin:], other[begin:], strict=False)
    return next((begin + number for number, (mine, its) in enumerate(pairs) if mine is not its), least)


_CHUNK = 256
"""Number of items compared at once, which is faster."""
