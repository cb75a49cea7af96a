"""The history of a node as a timeline: what changed it, who did so, and which packets fare otherwise since."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from adapters.cli.render.changes import change_as_json, summary_lines
from adapters.cli.render.events import edits_as_lines, event_as_json, head_as_text
from adapters.cli.render.moments import HistoryStep, PacketGroup, judge_of, judged_around
from adapters.cli.render.output import counted
from engine.errors import NoProof, plain
from engine.events import Event, ObjectRefused, timestamp
from engine.events.outcomes import ApplyConfirmed, ApplyFailed, DriftRepaired, NodeOutcome, RulesetApplied
from engine.state.fold import effect_of
from engine.state.object_diff import ObjectDiff, edited
from simulator.analysis.compare import VerdictChange, compare
from simulator.netfilter import Evaluation
from simulator.packets import Packet
from simulator.symbolic import Budget


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """An event of the timeline; ``effect`` is None where it was not found out which packets fare otherwise."""

    event: Event
    change: ObjectDiff | None
    ops: int
    effect: tuple[VerdictChange, ...] | None
    groups: tuple[PacketGroup, ...]

    def as_json(self) -> dict[str, object]:
        """Return it under the keys of the reference."""
        return {
            **event_as_json(self.event, self.change),
            "ops": self.ops,
            "outcome": list(outcome_lines(self.event)),
            "changes": None if self.effect is None else [change_as_json(change) for change in self.effect],
            "verdicts": [group.as_json() for group in self.groups if group.moved],
        }

    def as_text(self) -> str:
        """Return it for people."""
        lines = [plain(f"from {self.event.source}"), *edits_as_lines(self.change), *outcome_lines(self.event)]
        if self.ops:
            lines.append(counted(self.ops, "op"))
        lines += (
            ["which packets fare otherwise was not found out"] if self.effect is None else summary_lines(self.effect)
        )
        lines += [group.as_text() for group in self.groups if group.moved]
        return "\n".join([click.style(head_as_text(self.event), bold=True), *(f"    {line}" for line in lines)])


@dataclass(frozen=True, slots=True)
class TimelineVerdict:
    """From an event on a packet has a verdict; the event at sequence 0 is the beginning."""

    sequence: int
    time: str
    verdict: str

    def as_json(self) -> dict[str, object]:
        """Return it as plain values."""
        return {"sequence": self.sequence, "time": self.time or None, "verdict": self.verdict}


@dataclass(slots=True)
class _Seen:
    """A step that belongs to the timeline, with packets' answers around it."""

    step: HistoryStep
    groups: tuple[PacketGroup, ...]

    def entry(self, budget: Budget) -> TimelineEntry:
        step = self.step
        change = edited(effect_of(step.before.state, step.event.body))
        return TimelineEntry(step.event, change, len(step.ops), _effect(step, budget), self.groups)


def _effect(step: HistoryStep, budget: Budget) -> tuple[VerdictChange, ...] | None:
    if not step.moved:
        return ()
    try:
        return compare(step.before.ruleset, step.after.ruleset, budget=budget)
    except NoProof:
        return None


class Timeline:
    """The last entries, at most ``most``, of a walk, and for each packet when its verdict changed."""

    def __init__(self, steps: Iterator[HistoryStep], node: str, packets: Sequence[Packet], most: int | None) -> None:
        self.packets = packets
        self.turns: list[list[TimelineVerdict]] = [[] for _ in packets]
        self._node = node
        self._seen = deque[_Seen](maxlen=most)
        self.left_out = 0
        """How many entries there were before those."""
        self._walk(steps)

    def entries(self, budget: Budget) -> Iterator[TimelineEntry]:
        """Yield the entries, oldest first."""
        for seen in self._seen:
            yield seen.entry(budget)

    def __len__(self) -> int:
        """Return how many entries there are."""
        return len(self._seen)

    def _walk(self, steps: Iterator[HistoryStep]) -> None:
        for step, pairs in judged_around(steps, judge_of(self.packets)):
            if not any(self.turns):
                self._turn(0, "", [was for was, _ in pairs])
            groups = tuple(PacketGroup(was, now) for was, now in pairs)
            self._turn(step.event.sequence, timestamp(step.event.time), [now for _, now in pairs])
            if step.moved or self._is_about(step.event):
                self.left_out += len(self._seen) == self._seen.maxlen
                self._seen.append(_Seen(step, groups))

    def _turn(self, sequence: int, time: str, answers: Sequence[Evaluation]) -> None:
        for turns, answer in zip(self.turns, answers, strict=True):
            if not turns or turns[-1].verdict != answer.verdict.value:
                turns.append(TimelineVerdict(sequence, time, answer.verdict.value))

    def _is_about(self, event: Event) -> bool:
        """Return whether an event that leaves the rules as they are is part of the node's history all the same."""
        body = event.body
        return isinstance(body, ObjectRefused) or (isinstance(body, NodeOutcome) and body.node == self._node)


def effect_lines(effect: Sequence[VerdictChange] | None) -> list[str]:
    """Return which packets fare otherwise, a line a change."""
    return ["which packets fare otherwise was not found out"] if effect is None else summary_lines(effect)


def outcome_lines(event: Event) -> Iterator[str]:
    """Yield what an event says of what was done, or why not, line by line."""
    match event.body:
        case RulesetApplied(realized=state, operations=number, failed=failed):
            yield f"state {state} is in force, by {counted(number, 'operation')}"
            for rule in failed or ():
                yield plain(f"but for {rule.policy}/{rule.rule}: {rule.words}")
        case ApplyFailed(wanted=state, words=words):
            yield plain(f"state {state} could not be put in force: {words}")
        case ApplyConfirmed(realized=state):
            yield f"state {state} was confirmed"
        case DriftRepaired(found=found, operations=number):
            yield f"others had changed what is nodewall's; put right by {counted(number, 'operation')}"
            yield from map(plain, found)
        case ObjectRefused(faults=faults):
            for fault in faults:
                expected = f"; expected {fault.expected}" if fault.expected else ""
                yield plain(f"refused: {fault.path}: {fault.problem}{expected}")
        case _:
            pass
