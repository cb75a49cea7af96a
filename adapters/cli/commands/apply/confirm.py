"""``nodewall confirm`` and ``nodewall rollback``: keep or undo a timed apply.

A timed apply is ``nodewall apply --confirm-timeout``; without confirmation, its rules are rolled back after the
timeout. Input: the network namespace of the apply.

Raises ``Refused`` if no apply awaits confirmation, and ``KernelRefused`` if the rollback fails.
"""

import click

from adapters.application.selection import SelectionOptions
from adapters.cli.options import kernel_options
from adapters.cli.render.output import emit, output_option
from adapters.node import commit_confirm


@click.command("confirm")
@kernel_options
@output_option
def confirm_command(world: SelectionOptions, output: str) -> None:
    """Keep what was applied with --confirm-timeout."""
    commit_confirm.confirm(world.netns)
    emit(output, {"confirmed": True}, lambda: "confirmed: it stays")


@click.command("rollback")
@kernel_options
@output_option
def rollback_command(world: SelectionOptions, output: str) -> None:
    """Take back at once what was applied with --confirm-timeout."""
    commit_confirm.rollback(world.netns)
    emit(output, {"rolled_back": True}, lambda: "rolled back: the state before is in force")
