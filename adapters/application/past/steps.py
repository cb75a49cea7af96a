"""Replays an event log for one Node: the desired rules, and the verdicts of packets, before and after each event.

Input: an event log, a Node and a range of sequence numbers. Output: one :class:`HistoryStep` per event, oldest first;
on request with the verdicts of given packets before and after the event.

Raises ``LogError`` if the log cannot be read or verified, and ``UnknownNode`` for a Node that no event or state has.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from adapters.application.selection import sequence_of
from adapters.eventlog.snapshots import Snapshots
from engine.desired.incremental import Derivation, derive
from engine.errors import UnknownNode
from engine.events import Event, NodeObserved
from engine.reconcile.log_interfaces import LogReader, SnapshotLog
from engine.rulesets.diff import diff
from engine.rulesets.model import Ruleset
from engine.rulesets.plan import make_plan
from engine.rulesets.text.operations import Op, ops_of
from simulator.conntrack import ConnectionTracker
from simulator.netfilter import Evaluation, Walker
from simulator.packets import Packet

RulesetEvaluator = Callable[[Ruleset], Sequence[Evaluation]]
"""Returns the answers of a ruleset for fixed packets, in the order of the packets."""


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """An event, with the state and the desired rules of a node before and after it."""

    event: Event
    before: Derivation
    after: Derivation

    @property
    def moved(self) -> bool:
        """True if the event changed the desired rules."""
        return self.before.ruleset is not self.after.ruleset and self.before.ruleset != self.after.ruleset

    @property
    def ops(self) -> tuple[Op, ...]:
        """Operations between the desired rules before and after the event."""
        if self.before.ruleset is self.after.ruleset:
            return ()
        return ops_of(make_plan(diff(self.before.ruleset, self.after.ruleset)))


@dataclass(slots=True)
class HistoryWalk:
    """Iteration over the events of a log from sequence ``first`` to ``last``, for one node.

    It starts at the nearest snapshot. ``last`` None means the end of the log.
    """

    log: SnapshotLog
    node: str
    first: int = 1
    last: int | None = None
    _seen: set[str] = field(default_factory=set)

    @classmethod
    def between(cls, log: SnapshotLog, node: str, first: str, last: str | None) -> Self:
        """Return the walk between the values of ``--from`` and ``--to``, each a sequence or a time.

        Raises:
            Refused: a value is neither a sequence nor an RFC 3339 time with zone.
        """
        return cls(log, node, first_of(log, first), sequence_of(log, last, "--to"))

    @property
    def total(self) -> int:
        """Number of events in the walk."""
        return max(0, (self.last or self.log.last_sequence()) - self.first + 1)

    def steps(self) -> Iterator[HistoryStep]:
        """Yield a step for each event from ``first`` on; a compacted log may begin later.

        Raises:
            LogError: the log cannot be read, or an event cannot be verified.
        """
        state, mark = Snapshots(self.log).reached(max(self.log.begun().sequence, self.first - 1))
        self._seen.update(state.nodes)
        now = derive(state, self.node)
        for row in self.log.rows(until=self.last, known=mark):
            event = row.event()
            if isinstance(event.body, NodeObserved):
                self._seen.add(event.body.node.metadata.name)
            before, now = now, now.after(event.body)
            yield HistoryStep(event, before, now)

    def check(self) -> None:
        """Check that a state or an event of the walk has the node; call this after `steps`.

        Raises:
            UnknownNode: none of them has the node.
        """
        if self.node not in self._seen:
            raise UnknownNode(self.node, tuple(sorted(self._seen)))


EvaluationPairs = Sequence[tuple[Evaluation, Evaluation]]
"""For each packet, the answers before and after an event."""


def packet_evaluator(packets: Sequence[Packet]) -> RulesetEvaluator:
    """Return an evaluator that judges each packet independently, without connection tracking."""
    return lambda ruleset: list(map(Walker(ruleset).verdict, packets))


def capture_evaluator(packets: Sequence[Packet], *, stateless: bool) -> RulesetEvaluator:
    """Return an evaluator for the packets of a capture; it tracks connections unless ``stateless`` is set."""
    return partial(_captured, packets, stateless=stateless)


def _captured(packets: Sequence[Packet], ruleset: Ruleset, *, stateless: bool) -> Sequence[Evaluation]:
    walker = Walker(ruleset)
    if stateless:
        from simulator.batch import answers  # noqa: PLC0415 - numpy is slow to load, and captures alone need it

        return list(answers(walker, packets))
    tracker = ConnectionTracker()
    return [tracker.answer(walker, packet) for packet in packets]


def steps_with_answers(
    steps: Iterator[HistoryStep], judge: RulesetEvaluator
) -> Iterator[tuple[HistoryStep, EvaluationPairs]]:
    """Yield each step with the answers before and after it; packets are judged again only if the rules changed."""
    last: Sequence[Evaluation] | None = None
    for step in steps:
        before = judge(step.before.ruleset) if last is None else last
        last = judge(step.after.ruleset) if step.moved else before
        yield step, list(zip(before, last, strict=True))


def first_of(log: LogReader, moment: str) -> int:
    """Return the first sequence for a value of ``--from``; for a time, that of the first event after it."""
    found = sequence_of(log, moment, "--from") or 0
    return max(1, found if moment.isdecimal() else found + 1)
