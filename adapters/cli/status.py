"""``status``: how far each policy for a node is, and what is to be known of it."""

import click

from adapters.cli.options import cluster_options
from adapters.cli.output import emit, output_option, table
from adapters.world import WorldOptions, node_of, state_of
from engine.status import PolicyStatus, statuses


@click.command("status")
@cluster_options
@output_option
def status_command(world: WorldOptions, output: str) -> None:
    """Say of every policy for a node whether it is pending, realizing, realized or failed, and why."""
    found = statuses(state_of(world), node_of(world))
    emit(output, [status.as_json() for status in found], lambda: _as_text(found))


def _as_text(found: tuple[PolicyStatus, ...]) -> str:
    rows = [
        (first.policy, first.phase.value, "" if first.sequence is None else str(first.sequence), "; ".join(first.notes))
        for first in found
    ]
    return table(("policy", "phase", "sequence", "notes"), rows)
