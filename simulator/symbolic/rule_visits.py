"""Computes the packets that reach each chain and each rule of a hook, over all paths; lint uses it.

Input: a `HookOutcome` (symbolic evaluation of a hook). Output of `visits`: a `ChainVisit` per chain, with a `RuleVisit`
per rule. Output of `tails`: for each rule of a chain, the verdicts of packets that would start there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from simulator.netfilter.answer import Verdict
from simulator.netfilter.effects import TargetAction
from simulator.packet_sets.bdd import BddFunction, is_false
from simulator.symbolic.reachability import ChainOutcome, HookOutcome
from simulator.symbolic.symbolic_rules import SymbolicChain, SymbolicRule
from simulator.symbolic.topological import callers_first


@dataclass(frozen=True, eq=False, slots=True)
class RuleVisit:
    """One rule with the packets that reach it and those that match it.

    Attributes:
        come: Packets that reach the rule.
        holds: Packets that match it, whether they reach it or not.
        taken: Packets that would not continue to the next rule.
        into: Result of the chain that the rule leads to.
    """

    row: SymbolicRule
    come: BddFunction
    holds: BddFunction
    taken: BddFunction
    into: ChainOutcome | None

    @property
    def hit(self) -> BddFunction:
        """Packets that reach the rule and match it."""
        return self.come & self.holds


@dataclass(frozen=True, eq=False, slots=True)
class ChainVisit:
    """One chain for packets with the same rewritten fields: the packets that enter it, and its rules in order."""

    block: SymbolicChain
    outcome: ChainOutcome
    come: BddFunction
    stops: tuple[RuleVisit, ...]

    @property
    def policy(self) -> Verdict:
        """Verdict of packets that reach the end of a base chain."""
        return Verdict((self.block.policy or "ACCEPT").lower())


def visits(fates: HookOutcome) -> list[ChainVisit]:
    """Return all chains that packets of a hook can reach, callers first."""
    blocks = {stage.outcome: stage.block for stage in fates.stages}
    come = {stage.outcome: stage.seen for stage in fates.stages}
    found = []
    for outcome in callers_first((stage.outcome for stage in fates.stages), _inner):
        whole = come[outcome]
        stops = tuple(_stops(outcome, whole))
        found.append(ChainVisit(blocks[outcome], outcome, whole, stops))
        for stop in stops:
            if stop.into is not None and stop.row.into is not None:
                blocks[stop.into] = stop.row.into
                come[stop.into] = come[stop.into] | stop.hit if stop.into in come else stop.hit
    return found


def _inner(outcome: ChainOutcome) -> Iterator[ChainOutcome]:
    return (into for _, _, into in outcome.rows if into is not None)


def _stops(outcome: ChainOutcome, come: BddFunction) -> Iterator[RuleVisit]:
    for row, holds, into in outcome.rows:
        taken = _taken(row, holds, into)
        yield RuleVisit(row, come, holds, taken, into)
        if not is_false(come):
            come &= ~taken


def _taken(row: SymbolicRule, holds: BddFunction, into: ChainOutcome | None) -> BddFunction:
    if row.act is TargetAction.NEXT:
        return holds & ~holds
    if row.act is TargetAction.JUMP and into is not None:
        return holds & ~into.returned
    return holds


@dataclass(frozen=True, eq=False, slots=True)
class ChainTail:
    """Verdicts of packets from a position in a chain on, and the packets that return."""

    ends: Mapping[Verdict, BddFunction]
    returned: BddFunction


def tails(visit: ChainVisit) -> list[ChainTail]:
    """Return the verdicts of packets that start at each rule of a chain, and last those that start at its end."""
    nothing = visit.come & ~visit.come
    tail = ChainTail(dict.fromkeys(Verdict, nothing), ~nothing)
    found = [tail]
    for stop in reversed(visit.stops):
        tail = _before(stop, tail)
        found.append(tail)
    return found[::-1]


def _before(stop: RuleVisit, after: ChainTail) -> ChainTail:
    holds, act, into = stop.holds, stop.row.act, stop.into
    if act is TargetAction.NEXT:
        return after
    ends = {verdict: found & ~stop.taken for verdict, found in after.ends.items()}
    returned = after.returned & ~stop.taken
    if stop.row.verdict is not None:
        ends[stop.row.verdict] |= holds
    elif into is not None:
        ends = {verdict: found | (holds & into.ends[verdict]) for verdict, found in ends.items()}
        returned = returned | (holds & into.returned) if act is TargetAction.GOTO else returned
    else:
        returned |= holds
    return ChainTail(ends, returned)
