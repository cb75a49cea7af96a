"""``nodewall compile``: prints the compiled rules of a Node as input for the restore programs.

Input: a cluster state (manifests or an event log) and a Node. Output: text for ipset restore, iptables-restore and
ip6tables-restore. Notes of the compiler go to stderr.

Raises ``Refused`` for bad input, ``UnknownNode`` if the cluster lacks the Node, and ``LogError`` if the event log
cannot be read.
"""

import time
from dataclasses import replace

import click

from adapters.application.selection import SelectionOptions, node_of, state_of
from adapters.cli.options import cluster_options
from adapters.cli.render.output import emit, output_option
from engine.compiler import Layout, LayoutLimits, compile_with_limits
from engine.desired.full import options_of
from engine.policy.resolve import resolve
from engine.rulesets.plan import Tool
from engine.rulesets.text.steps import full_text
from engine.state.fold import ClusterState

TEXT_KEYS = {Tool.IPTABLES: "ipv4", Tool.IP6TABLES: "ipv6", Tool.IPSET: "ipset"}
"""Tool -> key of its text in JSON output."""


@click.command("compile")
@cluster_options
@click.option(
    "--layout",
    type=click.Choice([each.value for each in Layout]),
    help="How rules are laid out in chains, instead of as the configuration says.",
)
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0),
    help="How long the optimised layout may take to be worked out; what is not done by then stays linear.",
)
@output_option
def compile_command(world: SelectionOptions, layout: str | None, max_seconds: float | None, output: str) -> None:
    """Print the ruleset of a node as the text of ipset restore, iptables-restore and ip6tables-restore."""
    state = state_of(world) if layout is None else _laid_out(state_of(world), Layout(layout))
    node = node_of(world)
    compiled = compile_with_limits(resolve(state, node), options_of(state, node), _bounds(max_seconds))
    for note in compiled.notes:
        click.echo(f"note: {note}", err=True)
    texts = full_text(compiled.ruleset)
    data = {TEXT_KEYS[tool]: texts[tool] for tool in TEXT_KEYS}
    emit(output, data, lambda: "\n".join(f"# {tool} restore\n{texts[tool]}" for tool in Tool).rstrip())


def _bounds(max_seconds: float | None) -> LayoutLimits:
    """Return the limits for the optimised layout, with a time limit from now on if one is given."""
    if max_seconds is None:
        return LayoutLimits()
    end = time.monotonic() + max_seconds
    return LayoutLimits(late=lambda: time.monotonic() > end)


def _laid_out(state: ClusterState, layout: Layout) -> ClusterState:
    """Return the state with another layout in its configuration."""
    return replace(state, config=state.config.model_copy(update={"layout": layout.value.capitalize()}))
