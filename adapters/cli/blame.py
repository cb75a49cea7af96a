"""``blame``: the event that made a packet's verdict what it is."""

from dataclasses import dataclass

import click

from adapters import wiring
from adapters.cli.history import Moment, head_as_json, head_as_text, history
from adapters.cli.log import log_option
from adapters.cli.output import coloured, emit_item, output_option
from adapters.cli.packets import parsed
from engine.errors import Fault, Refused, UnknownNode, plain
from engine.events import Event
from simulator.netfilter import Answer


@dataclass(slots=True)
class _Blamed:
    """A packet's present answer, the event that changed its verdict last, and the one that gave the verdict before."""

    answer: Answer
    event: Event | None = None
    before: Answer | None = None
    earlier: Event | None = None

    def see(self, moment: Moment, place: int) -> None:
        """Take one more event into account."""
        was, now = moment.answers[place]
        if was.verdict is not now.verdict:
            self.before, self.earlier, self.event = was, self.event, moment.event
        self.answer = now

    def as_json(self) -> dict[str, object]:
        by = self.answer.decided_by
        return {
            "packet": self.answer.packet.as_spec(),
            "verdict": self.answer.verdict.value,
            "decided_by": by.as_json() if by else None,
            "event": head_as_json(self.event) if self.event else None,
            "before": self.before.verdict.value if self.before else None,
            "earlier": head_as_json(self.earlier) if self.earlier else None,
        }

    def as_text(self) -> str:
        by = self.answer.decided_by
        who = f"policy {by.policy}, rule {by.policy_rule}" if by and by.policy else "no policy"
        lines = [f"{coloured(self.answer.verdict.value)}  {self.answer.packet.words}", plain(f"  by {who}")]
        if self.event is None or self.before is None:
            return "\n".join([*lines, "  no event ever changed that"])
        lines.append(f"  since {plain(head_as_text(self.event))}")
        since = f", since {plain(head_as_text(self.earlier))}" if self.earlier else ""
        return "\n".join([*lines, f"  before {coloured(self.before.verdict.value)}{since}"])


@click.command("blame")
@log_option
@click.option("--node", required=True, metavar="NAME", help="The node whose rules are followed.")
@click.option("--at", "last", type=int, metavar="SEQ", help="Blame as of a past state.")
@click.option("--packet", "specs", multiple=True, metavar="SPEC", help="A packet; repeatable.")
@output_option
def blame_command(path: str, node: str, last: int | None, specs: tuple[str, ...], output: str) -> None:
    """Name the event that made the verdict on a packet what it is."""
    packets = parsed(specs)
    if not packets:
        raise Refused((Fault("--packet", "missing", "a packet in SPEC words"),))
    seen: set[str] = set()
    blamed: list[_Blamed] = []
    for moment in history(wiring.event_log(path).read(until=last), node, packets, seen):
        blamed = blamed or [_Blamed(was) for was, _ in moment.answers]
        for place, each in enumerate(blamed):
            each.see(moment, place)
    if node not in seen:
        raise UnknownNode(node, tuple(sorted(seen)))
    for each in blamed:
        emit_item(output, each.as_json(), each.as_text)
