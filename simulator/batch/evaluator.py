"""Batch evaluator: computes the verdicts of packet columns (one array per field) at a hook, many packets at a time.

Input: a `Walker` (evaluates the ruleset on one packet at a time), `Columns` of packets, and a hook. Output:
`BatchVerdicts`, with the verdict and the deciding rule of each packet. If the columns do not decide the verdict of a
packet, the `Walker` evaluates it.

Raises `Refused` if a rule refers to a missing set or chain, or if jumps form a loop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engine.rulesets.model import Family, Hook
from simulator.batch.box_layout import BoxLayout, BoxLayoutBuilder, TableEnd, closed, reached
from simulator.batch.columns import STATES, BoolColumn, Columns, IntColumn
from simulator.batch.domains import LISTED, SIDES, UNLISTED, ColumnValues, Domains
from simulator.batch.execution import BatchExecution, run
from simulator.batch.regions import RegionFinder
from simulator.context import LOOPBACK, Host, PacketContext
from simulator.matches.breakpoints import BreakpointContext
from simulator.netfilter import Verdict, Walker
from simulator.netfilter.program import ProgramChain
from simulator.netfilter.walker import TABLES
from simulator.packets import ConnState

VERDICTS = tuple(Verdict)

NOBODY = -1
"""Decider index for packets of a hook that has no chain."""

_ACCEPT = VERDICTS.index(Verdict.ACCEPT)
_NEW, _INVALID, _UNTRACKED = (STATES.index(each) for each in (ConnState.NEW, ConnState.INVALID, ConnState.UNTRACKED))

BLOCK = 1 << 16
"""Packets that are evaluated together; their columns fit into the processor's caches."""


@dataclass(frozen=True, slots=True)
class BatchVerdicts:
    """Verdicts of packets at a hook, by row.

    Attributes:
        verdicts: Index of the verdict in `VERDICTS`.
        deciders: Index of the deciding rule in ``ends``, or `NOBODY`.
        walked: Packets that only the `Walker` can decide.
        told: Packets that rules rewrote, or for which the `Walker` can add assumptions or log entries.
        ends: Possible results.
    """

    hook: Hook
    verdicts: npt.NDArray[np.int8]
    deciders: IntColumn
    walked: BoolColumn
    told: BoolColumn
    ends: Sequence[TableEnd]

    def end(self, row: int) -> TableEnd | None:
        """Return verdict, deciding rule and reject type of one packet; None if the hook has no chain."""
        place = int(self.deciders[row])
        return None if place == NOBODY else self.ends[place]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """Prepared tables of a hook, and the listed fields that they read."""

    plans: tuple[BoxLayout, ...]
    read: frozenset[str]


class BatchEvaluator:
    """Evaluator of one family; its verdicts equal those of a `Walker` with a fresh context for each packet."""

    def __init__(self, walker: Walker, family: Family, host: Host | None = None) -> None:
        self._walker, self._family, self._host = walker, family, host
        self._context = BreakpointContext(family, {ipset.name: ipset for ipset in walker.ruleset.sets}, host)
        self._domains = Domains()
        self._compiled: dict[tuple[Hook, bool], _Compiled] = {}
        self._ends: dict[TableEnd, int] = {}

    def judge(self, columns: Columns, hook: Hook, *, walk: bool = True) -> BatchVerdicts:
        """Return the verdicts of columns of this family.

        ``walk`` says whether packets that need the `Walker` are passed to it.

        Raises:
            Refused: the ruleset of the family lacks a set or chain, or has a loop.
        """
        count = len(columns)
        verdicts, deciders = np.full(count, _ACCEPT, np.int8), np.full(count, NOBODY)
        walked, told = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        for begin in range(0, count, BLOCK):
            some = slice(begin, begin + BLOCK)
            course = self._block(columns.part(begin, begin + BLOCK), hook, verdicts[some], deciders[some])
            walked[some], told[some] = course.walked, course.told
        for row in np.flatnonzero(walked) if walk else ():
            verdicts[row], deciders[row] = self._walk(columns, int(row), hook)
        return BatchVerdicts(hook, verdicts, deciders, walked, told, tuple(self._ends))

    def _block(
        self, columns: Columns, hook: Hook, verdicts: npt.NDArray[np.int8], deciders: IntColumn
    ) -> BatchExecution:
        seen: dict[str, ColumnValues] = {}
        compiled = self._prepared(columns, hook, seen)
        course = self._begun(columns, seen)
        filtered = False
        for plan in compiled.plans:
            rows = self._table(course, plan, hook)
            ended = course.ended[rows]
            verdicts[rows] = np.asarray([VERDICTS.index(end.verdict) for end in plan.ends], np.int8)[ended]
            accepted = verdicts[rows] == _ACCEPT
            course.alive[rows[~accepted]] = False
            # Only the filter table is meant for filtering: a later table decides only if it does not accept.
            decided = ~accepted if filtered else np.ones(len(rows), np.bool_)
            ranks = np.asarray([self._ends.setdefault(end, len(self._ends)) for end in plan.ends])
            deciders[rows[decided]] = ranks[ended[decided]]
            filtered |= plan.name == "filter"
        return course

    def _walk(self, columns: Columns, row: int, hook: Hook) -> tuple[int, int]:
        answer = self._walker.verdict(columns.packet(row), hook, PacketContext(self._host))
        decider = NOBODY
        if answer.decided_by is not None:
            end = TableEnd(answer.verdict, answer.decided_by, answer.reject_with)
            decider = self._ends.setdefault(end, len(self._ends))
        return VERDICTS.index(answer.verdict), decider

    def _table(self, course: BatchExecution, plan: BoxLayout, hook: Hook) -> IntColumn:
        """Evaluate one table; return the rows of packets that reach its end."""
        state = course.listed["state"]
        if plan.name == "raw":  # the raw table precedes connection tracking
            names = self._domains.listed["in_interface"]
            returns = np.asarray([hook is Hook.PREROUTING and name == LOOPBACK for name in names], np.bool_)
            course.listed["state"] = np.where(returns[course.listed["in_interface"]], state, _INVALID)
        rows = np.flatnonzero(course.alive & (state == _NEW) if plan.name == "nat" else course.alive)
        run(course, plan, rows)
        if plan.name == "raw":
            after = course.listed["state"]
            course.listed["state"] = np.where(after == _UNTRACKED, after, state)
        return rows[course.alive[rows]]

    def _prepared(self, columns: Columns, hook: Hook, seen: dict[str, ColumnValues]) -> _Compiled:
        """Compile the hook for all values of the packets.

        Only compilation shows which fields matter, so it is repeated until no domain grows.
        """
        while True:
            found = self._compiled.get((hook, columns.wire)) or self._compile(hook, wire=columns.wire)
            self._compiled[hook, columns.wire] = found
            grown = False
            for name in sorted(found.read):
                seen[name] = seen.get(name) or ColumnValues.of(columns, name, hook)
                grown |= self._domains.add(name, seen[name].values)
            if not grown:
                return found
            self._compiled.clear()

    def _compile(self, hook: Hook, *, wire: bool) -> _Compiled:
        chains = [(table, self._walker.chain(self._family, table, hook)) for table in TABLES[hook]]
        found = [(table, chain) for table, chain in chains if chain is not None]
        effects = {id(rule.effect): rule.effect for _, base in found for each in reached(base) for rule in each.rules}
        writing = [effect for effect in effects.values() if effect.rewrites]
        closed(writing, hook, self._domains)
        survey = RegionFinder(self._context, self._domains, wire)
        plans = _plans(survey, hook, found)
        while survey.changed:  # the result of a match that reads changed memory is not known in advance
            survey = RegionFinder(self._context, self._domains, wire, survey.volatile | survey.changed)
            plans = _plans(survey, hook, found)
        read = survey.read | {effect.rewrites for effect in writing} | {"state", *SIDES}
        return _Compiled(plans, frozenset(read & set(LISTED)))

    def _begun(self, columns: Columns, seen: Mapping[str, ColumnValues]) -> BatchExecution:
        walked = columns.single.copy()
        listed = {name: self._domains.places(each, name) for name, each in seen.items()}
        for places in listed.values():
            walked |= places == UNLISTED
        count = len(columns)
        return BatchExecution(columns, listed, walked, ~walked, np.zeros(count, np.bool_), np.zeros(count, np.int64))


@dataclass(slots=True)
class BatchEvaluators:
    """Evaluators of both families, each created with its first packet."""

    walker: Walker
    host: Host | None = None
    _found: dict[Family, BatchEvaluator] = field(default_factory=dict)

    def judge(self, columns: Columns, hook: Hook, *, walk: bool = True) -> BatchVerdicts:
        """Return the verdicts of columns of either family, like `BatchEvaluator.judge`."""
        if columns.family not in self._found:
            self._found[columns.family] = BatchEvaluator(self.walker, columns.family, self.host)
        return self._found[columns.family].judge(columns, hook, walk=walk)


def _plans(survey: RegionFinder, hook: Hook, bases: Sequence[tuple[str, ProgramChain]]) -> tuple[BoxLayout, ...]:
    """Return the layouts of a hook's tables, in order."""
    return tuple(BoxLayoutBuilder(survey, hook, name, final=name == bases[-1][0]).plan(base) for name, base in bases)
