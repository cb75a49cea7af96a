"""Timeline of a Node: the events that changed its rules, and their effect on packets; used by ``nodewall history``.

Input: :class:`HistoryStep` values (an event, with the rules before and after it) and packets to follow. Output: a
:class:`Timeline` with its entries, oldest first, and the verdict changes of each given packet. An entry is an event
that changed the rules, reports an outcome of the Node, or refuses an object.

The effect of an entry is the set of packets whose verdict changed, from a comparison of both rulesets. It is None if
the comparison exceeds the budget of time or memory.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from adapters.application.past.steps import EvaluationPairs, HistoryStep, packet_evaluator, steps_with_answers
from engine.errors import NoProof
from engine.events import Event, ObjectRefused, timestamp
from engine.events.outcomes import NodeOutcome
from engine.state.fold import effect_of
from engine.state.object_diff import ObjectDiff, diff_of_event
from simulator.analysis.compare import VerdictChange, compare
from simulator.netfilter import Evaluation
from simulator.packets import Packet
from simulator.symbolic import Budget


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """An event of the timeline; ``effect`` is None if the budget was too small to find the changed verdicts."""

    event: Event
    change: ObjectDiff | None
    ops: int
    effect: tuple[VerdictChange, ...] | None
    answers: EvaluationPairs
    """For each packet, the answers before and after the event."""


@dataclass(frozen=True, slots=True)
class TimelineVerdict:
    """Verdict of a packet from an event on; sequence 0 is the beginning of the log."""

    sequence: int
    time: str
    verdict: str


@dataclass(slots=True)
class _Seen:
    """Step that belongs to the timeline, with the answers for each packet before and after it."""

    step: HistoryStep
    answers: EvaluationPairs

    def entry(self, budget: Budget) -> TimelineEntry:
        step = self.step
        change = diff_of_event(effect_of(step.before.state, step.event.body))
        return TimelineEntry(step.event, change, len(step.ops), _effect(step, budget), self.answers)


def _effect(step: HistoryStep, budget: Budget) -> tuple[VerdictChange, ...] | None:
    if not step.moved:
        return ()
    try:
        return compare(step.before.ruleset, step.after.ruleset, budget=budget)
    except NoProof:
        return None


class Timeline:
    """Timeline of a node: the last entries of a walk, and the verdict changes of each packet.

    ``most`` limits the number of entries, None keeps all. ``turns`` holds a list for each packet, in order.
    """

    def __init__(self, steps: Iterator[HistoryStep], node: str, packets: Sequence[Packet], most: int | None) -> None:
        self.packets = packets
        self.turns: list[list[TimelineVerdict]] = [[] for _ in packets]
        self._node = node
        self._seen = deque[_Seen](maxlen=most)
        self.left_out = 0
        """Number of older entries that the limit removed."""
        self._walk(steps)

    def entries(self, budget: Budget) -> Iterator[TimelineEntry]:
        """Yield the entries, oldest first."""
        for seen in self._seen:
            yield seen.entry(budget)

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._seen)

    def _walk(self, steps: Iterator[HistoryStep]) -> None:
        for step, pairs in steps_with_answers(steps, packet_evaluator(self.packets)):
            if not any(self.turns):
                self._turn(0, "", [was for was, _ in pairs])
            self._turn(step.event.sequence, timestamp(step.event.time), [now for _, now in pairs])
            if step.moved or self._is_about(step.event):
                self.left_out += len(self._seen) == self._seen.maxlen
                self._seen.append(_Seen(step, pairs))

    def _turn(self, sequence: int, time: str, answers: Sequence[Evaluation]) -> None:
        for turns, answer in zip(self.turns, answers, strict=True):
            if not turns or turns[-1].verdict != answer.verdict.value:
                turns.append(TimelineVerdict(sequence, time, answer.verdict.value))

    def _is_about(self, event: Event) -> bool:
        """Return True if an event belongs to the timeline although it does not change the rules."""
        body = event.body
        return isinstance(body, ObjectRefused) or (isinstance(body, NodeOutcome) and body.node == self._node)
