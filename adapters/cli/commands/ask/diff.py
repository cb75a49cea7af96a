"""``nodewall diff``: compares two rulesets, and lists the packets that get different verdicts.

Input: two sources, each a path of manifests, an event log at a sequence number, text of iptables-save, or the running
kernel. Output: the verdict changes; the exit code is 1 if there are any.

Raises ``Refused`` for a source that does not parse, and ``NoProof`` if the limits on time or memory are exceeded.
Raises ``LogError`` or ``KernelError`` if the event log or the kernel cannot be read.
"""

import click

from adapters.application.comparison import Side, compare_node
from adapters.application.selection import SelectionOptions
from adapters.cli.options import FleetOptions, LimitOptions, cluster_kernel_options, fleet_options, limit_options
from adapters.cli.render.changes import effect_as_json, effect_as_text
from adapters.cli.render.output import emit, output_option
from adapters.system.budgets import budget


@click.command("diff")
@click.argument("old")
@click.argument("new")
@click.option("--old-ipset", metavar="FILE", help="Text of ipset save that goes with OLD.")
@click.option("--new-ipset", metavar="FILE", help="Text of ipset save that goes with NEW.")
@cluster_kernel_options
@fleet_options
@limit_options
@output_option
def diff_command(  # one parameter per option, as in the command line reference
    old: str,
    new: str,
    old_ipset: str | None,
    new_ipset: str | None,
    world: SelectionOptions,
    fleet: FleetOptions,
    limits: LimitOptions,
    output: str,
) -> int:
    """Say which packets OLD and NEW treat differently: exit 1 where there are any.

    Each is a PATH of manifests, LOG@SEQ, ipv4:FILE, ipv6:FILE, live: or live:NETNS.
    """
    allowed = budget(limits.max_seconds, limits.max_memory)
    if fleet.all_nodes:
        from adapters.cli.commands.prove.fleet import diff_fleet  # noqa: PLC0415 - few calls need it

        return diff_fleet((old, new), world, fleet, allowed, output)
    changes = compare_node(Side(old, old_ipset), Side(new, new_ipset), world, allowed)
    emit(output, effect_as_json(changes), lambda: effect_as_text(changes))
    return int(bool(changes))
