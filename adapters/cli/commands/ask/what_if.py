"""``nodewall what-if``: shows what manifests would change on a Node; nothing is recorded or applied.

Input: manifests, a Node, and an event log in its current state, or in an earlier one with ``--at``. Output: the events,
operations and verdict changes; exit code 1 if verdicts change.

Raises ``Refused`` for faults in manifests, and ``NoProof`` if the limits on time or memory are exceeded. Raises
``LogError`` if the log cannot be read, and ``UnknownNode`` if the cluster would lack the Node.
"""

from collections.abc import Sequence
from functools import partial

import click

from adapters.application.selection import Selection, SelectionOptions
from adapters.application.what_if import WhatIf, what_if
from adapters.cli.history.moments import PacketGroup
from adapters.cli.options import LimitOptions, ModeOptions, cluster_options, limit_options, mode_options
from adapters.cli.options_packets import parse_specs
from adapters.cli.render.changes import effect_as_json, effect_as_text
from adapters.cli.render.events import edits_as_lines
from adapters.cli.render.object_diffs import object_diff_as_json
from adapters.cli.render.output import emit, output_option, plural
from adapters.cli.render.plans import ops_as_json
from adapters.system.budgets import budget
from engine.errors import Fault, Refused, printable
from engine.events import subject


@click.command("what-if")
@cluster_options
@mode_options
@click.option("--packet", "specs", multiple=True, metavar="SPEC", help="A packet to follow; repeatable.")
@limit_options
@output_option
def what_if_command(  # one parameter per option, as in the command line reference
    world: SelectionOptions, meant: ModeOptions, specs: tuple[str, ...], limits: LimitOptions, output: str
) -> int:
    """Say what manifests would change in a state of a log, which stays: exit 1 where packets would fare otherwise."""
    if not (world.files and world.log):
        raise Refused((Fault("", "a log and manifests are needed", "--log PATH and -f PATH"),))
    allowed = partial(budget, limits.max_seconds, limits.max_memory)
    found = what_if(Selection(world), meant.mode, parse_specs(specs), allowed)
    groups = [PacketGroup(before, after) for before, after in found.answers]
    emit(output, _as_json(found, groups), partial(_as_text, found, groups))
    return int(bool(found.effect))


def _as_json(found: WhatIf, groups: Sequence[PacketGroup]) -> dict[str, object]:
    return {
        "events": [
            {"type": body.type, "object": subject(body), "change": object_diff_as_json(change)}
            for body, change in found.events
        ],
        "ops": ops_as_json(found.ops),
        **effect_as_json(found.effect),
        "verdicts": [group.as_json() for group in groups],
    }


def _as_text(found: WhatIf, groups: Sequence[PacketGroup]) -> str:
    lines = [f"{plural(len(found.events), 'event')} there would be"]
    for body, change in found.events:
        lines.append(printable(f"  {body.type}  {subject(body)}"))
        lines += (f"    {line}" for line in edits_as_lines(change))
    lines += [plural(len(found.ops), "op"), *(f"  {op}" for op in found.ops)]
    lines += [group.as_text() for group in groups]
    return "\n".join([*lines, effect_as_text(found.effect)])
