"""Which packets come to which chain and to which rule, by all ways that lead there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from simulator.netfilter.answer import Verdict
from simulator.netfilter.targets import Act
from simulator.packet_sets.bdd import Function, is_false
from simulator.symbolic.reachability import Fates, Outcome
from simulator.symbolic.symbolic_rules import Block, Row
from simulator.symbolic.topological import callers_first


@dataclass(frozen=True, eq=False, slots=True)
class Stop:
    """A rule as packets meet it: those that come to it, those it is about, and what its chain does with those.

    ``taken`` are the packets that do not come to the next rule if they come to this one.
    """

    row: Row
    come: Function
    holds: Function
    taken: Function
    into: Outcome | None

    @property
    def hit(self) -> Function:
        """The packets that come and match."""
        return self.come & self.holds


@dataclass(frozen=True, eq=False, slots=True)
class Visit:
    """A chain as packets meet it that are in one state when they come: those packets, and its rules in order."""

    block: Block
    outcome: Outcome
    come: Function
    stops: tuple[Stop, ...]

    @property
    def policy(self) -> Verdict:
        """What becomes of packets that come to the end of a chain that nothing calls."""
        return Verdict((self.block.policy or "ACCEPT").lower())


def visits(fates: Fates) -> list[Visit]:
    """Return all chains that packets of a hook may come to, each before those that it leads to."""
    blocks = {stage.outcome: stage.block for stage in fates.stages}
    come = {stage.outcome: stage.seen for stage in fates.stages}
    found = []
    for outcome in callers_first((stage.outcome for stage in fates.stages), _inner):
        whole = come[outcome]
        stops = tuple(_stops(outcome, whole))
        found.append(Visit(blocks[outcome], outcome, whole, stops))
        for stop in stops:
            if stop.into is not None and stop.row.into is not None:
                blocks[stop.into] = stop.row.into
                come[stop.into] = come[stop.into] | stop.hit if stop.into in come else stop.hit
    return found


def _inner(outcome: Outcome) -> Iterator[Outcome]:
    return (into for _, _, into in outcome.rows if into is not None)


def _stops(outcome: Outcome, come: Function) -> Iterator[Stop]:
    for row, holds, into in outcome.rows:
        taken = _taken(row, holds, into)
        yield Stop(row, come, holds, taken, into)
        if not is_false(come):
            come &= ~taken


def _taken(row: Row, holds: Function, into: Outcome | None) -> Function:
    if row.act is Act.NEXT:
        return holds & ~holds
    if row.act is Act.JUMP and into is not None:
        return holds & ~into.returned
    return holds


@dataclass(frozen=True, eq=False, slots=True)
class Tail:
    """What becomes of packets from some place in a chain on, if they come there: by verdict, and those that return."""

    ends: Mapping[Verdict, Function]
    returned: Function


def tails(visit: Visit) -> list[Tail]:
    """Return what becomes of packets from each rule of a chain on, and, last, from its end."""
    nothing = visit.come & ~visit.come
    tail = Tail(dict.fromkeys(Verdict, nothing), ~nothing)
    found = [tail]
    for stop in reversed(visit.stops):
        tail = _before(stop, tail)
        found.append(tail)
    return found[::-1]


def _before(stop: Stop, after: Tail) -> Tail:
    holds, act, into = stop.holds, stop.row.act, stop.into
    if act is Act.NEXT:
        return after
    ends = {verdict: found & ~stop.taken for verdict, found in after.ends.items()}
    returned = after.returned & ~stop.taken
    if stop.row.verdict is not None:
        ends[stop.row.verdict] |= holds
    elif into is not None:
        ends = {verdict: found | (holds & into.ends[verdict]) for verdict, found in ends.items()}
        returned = returned | (holds & into.returned) if act is Act.GOTO else returned
    else:
        returned |= holds
    return Tail(ends, returned)
