"""``nodewall history``: shows the events that changed a Node as a timeline, in text, JSON, YAML or one HTML page.

Input: an event log, a Node, a range of sequence numbers or times, and packets to follow. Output: the timeline entries,
then the verdict changes of each packet.

Raises ``LogError`` if the log cannot be read, ``UnknownNode`` if it never had the Node, and ``Refused`` for a packet
that does not parse.
"""

from collections.abc import Sequence
from functools import partial

import click

from adapters import wiring
from adapters.application.past.steps import HistoryWalk
from adapters.application.past.timeline import Timeline, TimelineVerdict
from adapters.cli.commands.record.log import log_option
from adapters.cli.history.timeline import entry_as_json, entry_as_text, turn_as_json
from adapters.cli.options import LimitOptions, limit_options
from adapters.cli.options_packets import parse_specs
from adapters.cli.render.output import FORMATS, coloured, emit_item
from adapters.cli.render.progress import progressing
from adapters.system.budgets import budget
from simulator.packets import Packet


@click.command("history")
@log_option
@click.option("--node", required=True, metavar="NAME", help="The node whose history it is.")
@click.option("--from", "first", default="1", metavar="SEQ|TIME", show_default=True, help="Where it begins.")
@click.option("--to", "last", metavar="SEQ|TIME", help="Where it ends.")
@click.option("--packet", "specs", multiple=True, metavar="SPEC", help="A packet to follow; repeatable.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The last N entries alone.")
@limit_options
@click.option(
    "-o",
    "--output",
    "--format",
    "output",
    type=click.Choice((*FORMATS, "html")),
    default="text",
    show_default=True,
    help="Form of the result; html is one page with all that it needs.",
)
def history_command(  # one parameter per option, as in the command line reference
    path: str,
    node: str,
    first: str,
    last: str | None,
    specs: tuple[str, ...],
    limit: int | None,
    limits: LimitOptions,
    output: str,
) -> None:
    """Show what changed a node, who did so, and which packets fare otherwise since."""
    packets = parse_specs(specs)
    walk = HistoryWalk.between(wiring.event_log(path), node, first, last)
    timeline = Timeline(progressing(walk.steps(), walk.total, "walk"), node, packets, limit)
    walk.check()
    entries = progressing(timeline.entries(budget(limits.max_seconds, limits.max_memory)), len(timeline), "compare")
    if output == "html":
        from adapters.cli.history.page import page  # noqa: PLC0415 - few calls need it

        click.echo(page(node, timeline, list(entries)), nl=False)
        return
    for entry in entries:
        emit_item(output, entry_as_json(entry), partial(entry_as_text, entry))
    for packet, turns in zip(packets, timeline.turns, strict=True):
        data = {"packet": packet.as_spec(), "turns": [turn_as_json(turn) for turn in turns]}
        emit_item(output, data, partial(_turns_as_text, packet, turns))


def _turns_as_text(packet: Packet, turns: Sequence[TimelineVerdict]) -> str:
    lines = (f"    {turn.sequence}  {turn.time or 'the beginning'}  {coloured(turn.verdict)}" for turn in turns)
    return "\n".join([click.style(packet.words, bold=True), *lines])
