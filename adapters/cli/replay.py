"""``replay``: walks history and says what each event changed for a node."""

import click

from adapters import wiring
from adapters.cli.log import log_option
from adapters.cli.moments import history
from adapters.cli.output import emit_item, output_option
from adapters.cli.packets import parsed
from engine.errors import UnknownNode


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
    for moment in history(wiring.event_log(path).read(until=last), node, packets, seen):
        if moment.event.sequence >= first:
            emit_item(output, moment.as_json(), moment.as_text)
    if node not in seen:
        raise UnknownNode(node, tuple(sorted(seen)))
