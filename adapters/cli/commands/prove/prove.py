"""``nodewall prove``: proves invariants for all packets, or shows a packet that breaks one.

Input: a ruleset and a YAML file of invariants, each a verdict that all packets of a filter must get at a hook. Output:
:class:`InvariantProof` values as text or JSON. The exit code is 1 for a broken invariant, 2 for one that is not proved.

Raises ``Refused`` for bad input, and ``LogError`` or ``KernelError`` if the event log or the kernel cannot be read.
"""

import click

from adapters.application.selection import SelectionOptions, families_of, ruleset_of
from adapters.cli.options import FleetOptions, LimitOptions, fleet_options, limit_options, world_options
from adapters.cli.render.output import emit, output_option
from adapters.cli.render.proofs import exit_code, proofs_as_json, proofs_as_text
from adapters.inputs.configfile import invariants_at
from adapters.system.budgets import budget
from simulator.analysis.prove import prove


@click.command("prove")
@world_options
@fleet_options
@click.option("--invariants", "path", metavar="FILE", required=True, help="A YAML list of {name, hook, where, must}.")
@limit_options
@output_option
def prove_command(  # one parameter per option, as in the command line reference
    world: SelectionOptions, fleet: FleetOptions, path: str, limits: LimitOptions, output: str
) -> int:
    """Say whether invariants hold for all packets: exit 1 with a packet where one does not."""
    allowed = budget(limits.max_seconds, limits.max_memory)
    invariants = invariants_at(path)
    if fleet.all_nodes:
        from adapters.cli.commands.prove.fleet import prove_all  # noqa: PLC0415 - few calls need it

        return prove_all(invariants, world, fleet, allowed, output)
    found = prove(ruleset_of(world), invariants, families_of(world), allowed)
    emit(output, proofs_as_json(found), lambda: proofs_as_text(found))
    return exit_code(found)
