"""History as commands walk it: event by event, with what each changed for a node."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import click

from adapters.cli.render.decisions import decision_as_json
from adapters.cli.render.events import head_as_json, head_as_text
from adapters.cli.render.output import coloured, counted
from adapters.cli.render.plans import ops_as_json
from adapters.eventlog.snapshots import Snapshots
from engine.desired.incremental import Derivation, derived
from engine.errors import UnknownNode
from engine.events import Event, NodeObserved
from engine.reconcile.interfaces import SnapshotLog
from engine.rulesets.diff import diff
from engine.rulesets.model import Ruleset
from engine.rulesets.plan import make_plan
from engine.rulesets.text.operations import Op, ops_of
from simulator.netfilter import Evaluation, Verdict, Walker
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

    def steps(self) -> Iterator[HistoryStep]:
        """Yield each event from the first on, or from where the log begins.

        Raises:
            LogError: the log cannot be read, or an event cannot be trusted.
        """
        state, mark = Snapshots(self.log).reached(max(self.log.begun().sequence, self.first - 1))
        self._seen.update(state.nodes)
        now = derived(state, self.node)
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


@dataclass(frozen=True, slots=True)
class PacketGroup:
    """A packet with its answers before and after; or the first of ``count`` of a capture that fare as it does."""

    before: Evaluation
    after: Evaluation
    count: int | None = None

    @property
    def moved(self) -> bool:
        """Whether it gets another verdict."""
        return self.before.verdict is not self.after.verdict

    def as_json(self) -> dict[str, object]:
        """Return it under the keys of the command line contract."""
        return {
            "packet": self.after.packet.as_spec(),
            "from": self.before.verdict.value,
            "to": self.after.verdict.value,
            "decided_by": decision_as_json(self.after.decided_by),
            **({} if self.count is None else {"packets": self.count}),
        }

    def as_text(self) -> str:
        """Return it on one line."""
        verdicts = f"{coloured(self.before.verdict.value)} -> " if self.moved else "still "
        many = "" if self.count is None else f"{counted(self.count, 'packet')}, as "
        return f"{verdicts}{coloured(self.after.verdict.value)}  {many}{self.after.packet.words}"


@dataclass(frozen=True, slots=True)
class HistoryMoment:
    """An event, what it changed in the rules, and packets' answers before and after, one by one or in groups."""

    event: Event
    ops: tuple[Op, ...]
    groups: tuple[PacketGroup, ...]

    @property
    def changed(self) -> bool:
        """Whether anything became otherwise."""
        return bool(self.ops) or any(each.moved for each in self.groups)

    def as_json(self) -> dict[str, object]:
        """Return it under the keys of the command line contract."""
        verdicts = [each.as_json() for each in self.groups]
        return {**head_as_json(self.event), "ops": ops_as_json(self.ops), "verdicts": verdicts}

    def as_text(self) -> str:
        """Return it for people: the event, the ops and what became of packets."""
        lines = [*map(str, self.ops), *(each.as_text() for each in self.groups)]
        return "\n".join([click.style(head_as_text(self.event), bold=True), *(f"    {line}" for line in lines)])


EvaluationPairs = Sequence[tuple[Evaluation, Evaluation]]
"""Packets' answers before and after an event."""


def judge_of(packets: Sequence[Packet]) -> RulesetEvaluator:
    """Return what tells what becomes of each of some packets by itself."""
    return lambda ruleset: list(map(Walker(ruleset).verdict, packets))


def judged_around(
    steps: Iterator[HistoryStep], judge: RulesetEvaluator
) -> Iterator[tuple[HistoryStep, EvaluationPairs]]:
    """Yield steps with what becomes of packets around each; it is found out once for what stays the same."""
    last: Sequence[Evaluation] | None = None
    for step in steps:
        before = judge(step.before.ruleset) if last is None else last
        last = judge(step.after.ruleset) if step.moved else before
        yield step, list(zip(before, last, strict=True))


def moments(
    steps: Iterator[HistoryStep], judge: RulesetEvaluator, *, captured: bool = False
) -> Iterator[HistoryMoment]:
    """Yield a moment per step; of a capture, which packets fare otherwise, by verdicts before and after."""
    for step, pairs in judged_around(steps, judge):
        groups = _grouped(pairs) if captured else [PacketGroup(was, now) for was, now in pairs]
        yield HistoryMoment(step.event, step.ops, tuple(groups))


def _grouped(pairs: EvaluationPairs) -> list[PacketGroup]:
    counts: dict[tuple[Verdict, Verdict], int] = {}
    first: dict[tuple[Verdict, Verdict], tuple[Evaluation, Evaluation]] = {}
    for was, now in pairs:
        if was.verdict is not now.verdict:
            key = was.verdict, now.verdict
            counts[key] = counts.get(key, 0) + 1
            first.setdefault(key, (was, now))
    return [PacketGroup(*first[key], count) for key, count in counts.items()]
