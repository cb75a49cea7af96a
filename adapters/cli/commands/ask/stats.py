"""``nodewall stats``: prints the kernel's packet and byte counters of each policy rule.

Input: a network namespace and a backend of iptables. Output: a table or JSON with the policy, rule, address family and
counters. :mod:`adapters.netfilter.counters` reads the counters.

Raises ``KernelError`` if a tool is missing or fails.
"""

import click

from adapters import wiring
from adapters.application.selection import SelectionOptions
from adapters.cli.options import kernel_options
from adapters.cli.render.output import emit, output_option, table
from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.counters import RuleCount, counted
from adapters.system.process import SystemRunner


@click.command("stats")
@kernel_options
@output_option
def stats_command(world: SelectionOptions, output: str) -> None:
    """Say how many packets and bytes each rule of a policy decided on since it was made."""
    backend = wiring.kernel(world.netns, world.backend or BackendName.AUTO).name
    found = counted(SystemRunner(world.netns), backend)
    emit(output, [_as_json(each) for each in found], lambda: _as_text(found))


def _as_json(count: RuleCount) -> dict[str, object]:
    return {
        "policy": count.policy,
        "rule": count.rule,
        "family": count.family.value,
        "packets": count.packets,
        "bytes": count.octets,
    }


def _as_text(found: tuple[RuleCount, ...]) -> str:
    rows = [(each.policy, each.rule, each.family.value, str(each.packets), str(each.octets)) for each in found]
    return table(("policy", "rule", "family", "packets", "bytes"), rows)
