"""``compile``: what would be in force on a node."""

import click

from adapters.cli.options import cluster_options
from adapters.cli.output import emit, output_option
from adapters.world import WorldOptions, node_of, state_of
from engine.desired import desired
from engine.plan import Tool, full_text

TEXT_KEYS = {Tool.IPTABLES: "ipv4", Tool.IP6TABLES: "ipv6", Tool.IPSET: "ipset"}


@click.command("compile")
@cluster_options
@output_option
def compile_command(world: WorldOptions, output: str) -> None:
    """Print the ruleset of a node as the text of ipset restore, iptables-restore and ip6tables-restore."""
    texts = full_text(desired(state_of(world), node_of(world)).ruleset)
    data = {TEXT_KEYS[tool]: texts[tool] for tool in TEXT_KEYS}
    emit(output, data, lambda: "\n".join(f"# {tool} restore\n{texts[tool]}" for tool in Tool).rstrip())
