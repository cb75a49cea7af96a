"""What packets meet behind a rule, where it is certain that they do not come to it a second time."""

from collections.abc import Iterable

from simulator.netfilter import Decision
from simulator.netfilter.effects import TargetAction
from simulator.symbolic import BddFunction, is_false
from simulator.symbolic.reachability import DecidedPackets, followed
from simulator.symbolic.rule_visits import ChainVisit, RuleVisit
from simulator.symbolic.symbolic_rules import SymbolicRule

_Place = tuple[ChainVisit, int]
"""A rule of a chain, by its place among the stops."""


class DownstreamRules:
    """The ways through chains, by who calls them."""

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
        """Return who would decide on the packets of a rule without it, nobody if any of them would answer otherwise.

        None where that is not certain: packets may come to the rule again, or are changed on their way.
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
        """Whether no packet can come to a chain twice: there is one way to it at most."""
        callers = self._callers.get(visit, [])
        return len(callers) <= 1 and all(self._once(caller) for caller, _ in callers)

    def _behind(
        self, visit: ChainVisit, place: int, packets: BddFunction, ends: dict[Decision, DecidedPackets]
    ) -> None:
        """Follow packets from the next rule on; add who decides on them."""
        returned, rest = packets & ~packets, packets
        for stop in visit.stops[place + 1 :]:
            if is_false(rest):
                break
            part = rest & stop.taken
            if not is_false(part):
                rest &= ~part
                returned |= _ended(stop, part, ends)
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


def _ended(stop: RuleVisit, part: BddFunction, ends: dict[Decision, DecidedPackets]) -> BddFunction:
    """Add who decides on packets that a rule takes; return those that leave its chain."""
    row = stop.row
    if row.verdict is not None:
        ends[row.decision] = DecidedPackets(part, row.verdict, row.decision, row.reject_with)
        return part & ~part
    return followed(stop.into, part, ends) if stop.into is not None else part
