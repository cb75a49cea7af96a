"""History of a node, event by event, with the rules and the packets' verdicts that each event changed.

Input is a log and a range of sequences; output are steps, oldest first. Errors: ``LogError`` where the log cannot be
read or trusted, ``UnknownNode`` for a node that no event names.
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
"""What becomes of some packets by a ruleset, in their order."""


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """An event, and what a node shall have in force before it and after it."""

    event: Event
    before: Derivation
    after: Derivation

    @property
    def moved(self) -> bool:
        """Whether it changed the rules."""
        return self.before.ruleset is not self.after.ruleset and self.before.ruleset != self.after.ruleset

    @property
    def ops(self) -> tuple[Op, ...]:
        """What it changed in the rules."""
        if self.before.ruleset is self.after.ruleset:
            return ()
        return ops_of(make_plan(diff(self.before.ruleset, self.after.ruleset)))


@dataclass(slots=True)
class HistoryWalk:
    """The way through a log from one sequence to another, from the nearest state that is kept on."""

    log: SnapshotLog
    node: str
    first: int = 1
    last: int | None = None
    _seen: set[str] = field(default_factory=set)

    @classmethod
    def between(cls, log: SnapshotLog, node: str, first: str, last: str | None) -> Self:
        """Return the way between two moments, each a sequence or a time, as ``--from`` and ``--to`` give them."""
        return cls(log, node, first_of(log, first), sequence_of(log, last, "--to"))

    @property
    def total(self) -> int:
        """How many events there are on the way."""
        return max(0, (self.last or self.log.last_sequence()) - self.first + 1)

    def steps(self) -> Iterator[HistoryStep]:
        """Yield each event from the first on, or from where the log begins.

        Raises:
            LogError: the log cannot be read, or an event cannot be trusted.
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
        """Refuse a node that never was on the way."""
        if self.node not in self._seen:
            raise UnknownNode(self.node, tuple(sorted(self._seen)))


EvaluationPairs = Sequence[tuple[Evaluation, Evaluation]]
"""Packets' answers before and after an event."""


def judge_of(packets: Sequence[Packet]) -> RulesetEvaluator:
    """Return what tells what becomes of each of some packets by itself."""
    return lambda ruleset: list(map(Walker(ruleset).verdict, packets))


def judge_of_capture(packets: Sequence[Packet], *, stateless: bool) -> RulesetEvaluator:
    """Return what tells what becomes of a capture's packets, whose connections are tracked unless ``stateless``."""
    return partial(_captured, packets, stateless=stateless)


def _captured(packets: Sequence[Packet], ruleset: Ruleset, *, stateless: bool) -> Sequence[Evaluation]:
    walker = Walker(ruleset)
    if stateless:
        from simulator.batch import answers  # noqa: PLC0415 - numpy is slow to load, and captures alone need it

        return list(answers(walker, packets))
    tracker = ConnectionTracker()
    return [tracker.answer(walker, packet) for packet in packets]


def judged_around(
    steps: Iterator[HistoryStep], judge: RulesetEvaluator
) -> Iterator[tuple[HistoryStep, EvaluationPairs]]:
    """Yield steps with what becomes of packets around each; it is found out once for what stays the same."""
    last: Sequence[Evaluation] | None = None
    for step in steps:
        before = judge(step.before.ruleset) if last is None else last
        last = judge(step.after.ruleset) if step.moved else before
        yield step, list(zip(before, last, strict=True))


def first_of(log: LogReader, moment: str) -> int:
    """Return the first sequence that is meant: of a time, that of the first event after it."""
    found = sequence_of(log, moment, "--from") or 0
    return max(1, found if moment.isdecimal() else found + 1)
