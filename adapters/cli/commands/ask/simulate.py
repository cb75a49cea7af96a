"""``nodewall simulate``: shows the verdict of each given packet, and the rules that lead to it.

Input: a ruleset, and packets in SPEC words or as a capture file. Output: one answer per packet, with its trace. With
``--explain``, exit code 1 means that the rules and the policies disagree.

Raises ``Refused`` for bad input, and ``LogError`` or ``KernelError`` if the event log or the kernel cannot be read.
"""

import click

from adapters.application.selection import Selection, SelectionOptions
from adapters.application.simulate import HostFiles, Simulation, oracle_of
from adapters.cli.options import HookOptions, packet_options, way_options, world_options
from adapters.cli.options_packets import PacketOptions, split_by_verdict
from adapters.cli.render.answers import write
from adapters.cli.render.output import output_option
from engine.rulesets.model import Hook


@click.command("simulate")
@world_options
@packet_options
@way_options
@click.option("--no-trace", is_flag=True, help="Leave the path out.")
@click.option("--explain", is_flag=True, help="Show what the policies themselves say; exit 1 where the rules differ.")
@output_option
def simulate_command(  # one parameter per option, as in the command line reference
    world: SelectionOptions, asked: PacketOptions, way: HookOptions, no_trace: bool, explain: bool, output: str
) -> int:
    """Say what becomes of packets, and by which rules."""
    packets, selection = asked.packets(), Selection(world)
    oracle = oracle_of(selection) if explain else None
    simulation = Simulation(
        Hook(way.hook) if way.hook else None,
        way.all_hooks,
        bool(asked.specs),
        asked.stateless,
        not no_trace,
        HostFiles(way.addresses, way.routes, way.routes6),
    )
    found = simulation.answers(selection, packets)
    differ = False
    for answer in split_by_verdict(found, asked.split) if asked.split else found:
        said = oracle(answer.packet) if oracle else None
        differ |= said is not None and said.verdict != answer.verdict
        write(answer, said, output, trace=not no_trace)
    return int(differ)
