"""Renders the events of a Node's history as JSON and text, with the changes that each event made to rules and verdicts.

Input: :class:`HistoryStep` values (an event, with the rules before and after it), and a function that returns the
verdicts of the followed packets under a ruleset. Output: a :class:`HistoryMoment` per event: its operations on the
rules, and the verdicts of the packets before and after it.

Packets of a capture with the same change of verdict are counted as one group. Used by the commands replay and what-if.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import click

from adapters.application.past.steps import EvaluationPairs, HistoryStep, RulesetEvaluator, steps_with_answers
from adapters.cli.render.decisions import decision_as_json
from adapters.cli.render.events import head_as_json, head_as_text
from adapters.cli.render.output import coloured, plural
from adapters.cli.render.plans import ops_as_json
from engine.events import Event
from engine.rulesets.text.operations import Op
from simulator.netfilter import Evaluation, Verdict


@dataclass(frozen=True, slots=True)
class PacketGroup:
    """Packet with its answers before and after an event.

    With a ``count``, it represents that many packets of a capture that have the same verdicts before and after.
    """

    before: Evaluation
    after: Evaluation
    count: int | None = None

    @property
    def moved(self) -> bool:
        """True if the verdict changed."""
        return self.before.verdict is not self.after.verdict

    def as_json(self) -> dict[str, object]:
        """Return the packet and its verdicts with the keys of the command line reference."""
        return {
            "packet": self.after.packet.as_spec(),
            "from": self.before.verdict.value,
            "to": self.after.verdict.value,
            "decided_by": decision_as_json(self.after.decided_by),
            **({} if self.count is None else {"packets": self.count}),
        }

    def as_text(self) -> str:
        """Return the verdicts and the packet on one line."""
        verdicts = f"{coloured(self.before.verdict.value)} -> " if self.moved else "still "
        many = "" if self.count is None else f"{plural(self.count, 'packet')}, as "
        return f"{verdicts}{coloured(self.after.verdict.value)}  {many}{self.after.packet.words}"


@dataclass(frozen=True, slots=True)
class HistoryMoment:
    """An event, the operations between the rules before and after it, and the answers for packets or packet groups."""

    event: Event
    ops: tuple[Op, ...]
    groups: tuple[PacketGroup, ...]

    @property
    def changed(self) -> bool:
        """True if the event changed rules or verdicts."""
        return bool(self.ops) or any(each.moved for each in self.groups)

    def as_json(self) -> dict[str, object]:
        """Return the event, operations and verdicts with the keys of the command line reference."""
        verdicts = [each.as_json() for each in self.groups]
        return {**head_as_json(self.event), "ops": ops_as_json(self.ops), "verdicts": verdicts}

    def as_text(self) -> str:
        """Return the event, operations and verdicts as lines of text."""
        lines = [*map(str, self.ops), *(each.as_text() for each in self.groups)]
        return "\n".join([click.style(head_as_text(self.event), bold=True), *(f"    {line}" for line in lines)])


def moments(
    steps: Iterator[HistoryStep], judge: RulesetEvaluator, *, captured: bool = False
) -> Iterator[HistoryMoment]:
    """Yield a moment per step.

    Args:
        steps: the steps of the history.
        judge: the evaluator for the packets.
        captured: the packets are of a capture. Then those with a changed verdict are grouped by the verdicts before
            and after, and all others are left out.
    """
    for step, pairs in steps_with_answers(steps, judge):
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
