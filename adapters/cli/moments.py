"""History as commands walk it: event by event, with what each changed for a node."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from adapters.cli.events import head_as_json, head_as_text
from adapters.cli.output import coloured
from engine.derive import derived
from engine.diff import diff
from engine.events import Event
from engine.plan import Op, make_plan
from engine.state import ClusterState
from simulator.netfilter import Answer, Walker
from simulator.packets import Packet


@dataclass(frozen=True, slots=True)
class Moment:
    """An event, what it changed in the rules, and each packet's answer before and after."""

    event: Event
    ops: tuple[Op, ...]
    answers: tuple[tuple[Answer, Answer], ...]

    def as_json(self) -> dict[str, object]:
        """Return it under the keys of the command line contract."""
        return {
            **head_as_json(self.event),
            "ops": [op.as_json() for op in self.ops],
            "verdicts": [
                {
                    "packet": after.packet.as_spec(),
                    "from": before.verdict.value,
                    "to": after.verdict.value,
                    "decided_by": after.decided_by.as_json() if after.decided_by else None,
                }
                for before, after in self.answers
            ],
        }

    def as_text(self) -> str:
        """Return it for people: the event, the ops and what became of each packet."""
        lines = [click.style(head_as_text(self.event), bold=True), *(f"    {op}" for op in self.ops)]
        for before, after in self.answers:
            moved = before.verdict is not after.verdict
            verdicts = f"{coloured(before.verdict.value)} -> " if moved else "still "
            lines.append(f"    {verdicts}{coloured(after.verdict.value)}  {after.packet.words}")
        return "\n".join(lines)


def history(events: Iterator[Event], node: str, packets: Sequence[Packet], seen: set[str]) -> Iterator[Moment]:
    """Yield a moment per event; ``seen`` collects every node that ever was."""
    before = derived(ClusterState(), node)
    walker = Walker(before.ruleset)
    for event in events:
        after = before.after(event.body)
        seen.update(after.state.nodes)
        next_walker = walker if after.ruleset == before.ruleset else Walker(after.ruleset)
        answers = tuple((walker.verdict(packet), next_walker.verdict(packet)) for packet in packets)
        yield Moment(event, make_plan(diff(before.ruleset, after.ruleset)).ops, answers)
        before, walker = after, next_walker
