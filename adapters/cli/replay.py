"""``replay``: walks history and says what each event changed for a node."""

from collections.abc import Iterator
from dataclasses import dataclass

import click

from adapters import wiring
from adapters.cli.log import log_option
from adapters.cli.output import coloured, emit_item, output_option
from adapters.cli.packets import parsed
from engine.derive import derived
from engine.diff import diff
from engine.errors import UnknownNode
from engine.events import Event, subject, timestamp
from engine.plan import Op, make_plan
from engine.state import ClusterState
from simulator.netfilter import Answer, Walker
from simulator.packets import Packet


@dataclass(frozen=True, slots=True)
class _Moment:
    """An event, what it changed in the rules, and each packet's answer before and after."""

    event: Event
    ops: tuple[Op, ...]
    answers: tuple[tuple[Answer, Answer], ...]

    def as_json(self) -> dict[str, object]:
        return {
            "sequence": self.event.sequence,
            "time": timestamp(self.event.time),
            "type": self.event.body.type,
            "object": subject(self.event.body),
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
        head = (
            f"{self.event.sequence}  {timestamp(self.event.time)}  {self.event.body.type}  {subject(self.event.body)}"
        )
        lines = [click.style(head, bold=True), *(f"    {op}" for op in self.ops)]
        for before, after in self.answers:
            moved = before.verdict is not after.verdict
            verdicts = f"{coloured(before.verdict.value)} -> " if moved else "still "
            lines.append(f"    {verdicts}{coloured(after.verdict.value)}  {after.packet.words}")
        return "\n".join(lines)


@click.command("replay")
@log_option
@click.option("--node", required=True, metavar="NAME", help="The node whose rules are followed.")
@click.option("--from", "first", type=int, default=1, metavar="SEQ", help="First event to show.")
@click.option("--to", "last", type=int, metavar="SEQ", help="Last event to show.")
@click.option("--packet", "specs", multiple=True, metavar="SPEC", help="A packet to follow; repeatable.")
@output_option
def replay_command(path: str, node: str, first: int, last: int | None, specs: tuple[str, ...], output: str) -> None:
    """Show for every event what it changed in a node's rules, and in what becomes of packets."""
    packets = parsed(specs)
    seen: set[str] = set()
    for moment in _history(wiring.event_log(path).read(until=last), node, packets, seen):
        if moment.event.sequence >= first:
            emit_item(output, moment.as_json(), moment.as_text)
    if node not in seen:
        raise UnknownNode(node, tuple(sorted(seen)))


def _history(events: Iterator[Event], node: str, packets: list[Packet], seen: set[str]) -> Iterator[_Moment]:
    """Yield a moment per event; ``seen`` collects every node that ever was."""
    before = derived(ClusterState(), node)
    walker = Walker(before.ruleset)
    for event in events:
        after = before.after(event.body)
        seen.update(after.state.nodes)
        next_walker = walker if after.ruleset == before.ruleset else Walker(after.ruleset)
        answers = tuple((walker.verdict(packet), next_walker.verdict(packet)) for packet in packets)
        yield _Moment(event, make_plan(diff(before.ruleset, after.ruleset)).ops, answers)
        before, walker = after, next_walker
