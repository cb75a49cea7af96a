"""Finds the rules that would decide packets if a given rule were removed, without evaluating the ruleset again.

Lint uses `DownstreamRules` to name the causes of a finding. Input: `ChainVisit` values (the packets that reach each
chain and each rule) of all hooks, and a rule. Output: the later rules that would decide the packets of this rule.

The output is None if packets may reach the rule twice, or if rules rewrite packets. Then lint removes the rule and
evaluates the ruleset again.
"""

from collections.abc import Iterable

from simulator.netfilter import Decision
from simulator.netfilter.effects import TargetAction
from simulator.symbolic import BddFunction, is_false
from simulator.symbolic.reachability import DecidedPackets, followed
from simulator.symbolic.rule_visits import ChainVisit, RuleVisit
from simulator.symbolic.symbolic_rules import SymbolicRule

_Place = tuple[ChainVisit, int]
"""A chain visit and the index of one of its rules."""


class DownstreamRules:
    """Call graph of chain visits, with the positions of each rule."""

    def __init__(self, found: Iterable[list[ChainVisit]]) -> None:
        self._places: dict[SymbolicRule, list[_Place]] = {}
        self._callers: dict[ChainVisit, list[_Place]] = {}
        self._certain = True
        for visits in found:
            by_outcome = {visit.outcome: visit for visit in visits}
            for visit in visits:
                for place, stop in enumerate(visit.stops):
                    self._places.setdefault(stop.row, []).append((visit, place))
                    self._certain &= not stop.row.writes
                    into = by_outcome.get(stop.into) if stop.into is not None else None
                    if into is not None:
                        self._callers.setdefault(into, []).append((visit, place))

    def deciders_without(self, row: SymbolicRule) -> tuple[Decision, ...] | None:
        """Return the rules that would decide without this one; empty if any of them would reply differently.

        None if that is uncertain: packets may reach the rule again, or rules rewrite them.
        """
        places = [(visit, place) for visit, place in self._places[row] if not is_false(visit.stops[place].hit)]
        if not self._certain or not all(self._once(visit) for visit, _ in places):
            return None
        ends: dict[Decision, DecidedPackets] = {}
        for visit, place in places:
            self._behind(visit, place, visit.stops[place].hit, ends)
        if any(end.reject_with != row.reject_with for end in ends.values()):
            return ()
        return tuple(ends)

    def _once(self, visit: ChainVisit) -> bool:
        """Return whether no packet can enter the chain twice: it has at most one caller, recursively."""
        callers = self._callers.get(visit, [])
        return len(callers) <= 1 and all(self._once(caller) for caller, _ in callers)

    def _behind(
        self, visit: ChainVisit, place: int, packets: BddFunction, ends: dict[Decision, DecidedPackets]
    ) -> None:
        """Follow packets from the next rule on; add the rules that decide them to ``ends``."""
        returned, rest = packets & ~packets, packets
        for stop in visit.stops[place + 1 :]:
            if is_false(rest):
                break
            part = rest & stop.taken
            if not is_false(part):
                rest &= ~part
                returned |= _follow_rule(stop, part, ends)
        returned |= rest
        if is_false(returned):
            return
        callers = self._callers.get(visit, [])
        for caller, at in callers:
            goes_on = caller.stops[at].row.act is TargetAction.JUMP
            self._behind(caller, at if goes_on else len(caller.stops), returned, ends)
        if not callers:
            decision = Decision(visit.block.table, visit.block.name, 0)
            ends[decision] = DecidedPackets(returned, visit.policy, decision)


def _follow_rule(stop: RuleVisit, part: BddFunction, ends: dict[Decision, DecidedPackets]) -> BddFunction:
    """Add the rules that decide the packets which this rule takes; return the packets that leave the chain."""
    row = stop.row
    if row.verdict is not None:
        ends[row.decision] = DecidedPackets(part, row.verdict, row.decision, row.reject_with)
        return part & ~part
    return followed(stop.into, part, ends) if stop.into is not None else part
