"""``nodewall apply`` and ``nodewall remove``: write the desired rules to the kernel of a Node, or remove them.

Input of apply: a cluster state (manifests or an event log) and a Node. Apply proves that the plan keeps the Node
reachable, writes the rules, and reads them back. Output: the number of operations, and the rules that the kernel
refused; all other rules are applied, and the exit code is 1. Remove needs only a network namespace.

Raises ``UnsafePlan`` if the proof fails, and ``Refused`` for bad input or a locked Node. Raises ``LogError`` or
``KernelError`` if the event log or a tool fails.
"""

import sys
from functools import partial

import click
import structlog

from adapters import wiring
from adapters.application.apply import Applied, Apply, ApplyOptions
from adapters.application.node_access import NodeAccess
from adapters.application.plan import Planned
from adapters.application.selection import Selection, SelectionOptions
from adapters.cli.commands.apply.plan import note, planned_as_text, size_of
from adapters.cli.options import LimitOptions, kernel_options, limit_options, node_options
from adapters.cli.render.output import emit, output_option, plural
from adapters.netfilter.backend_name import BackendName
from adapters.node.removal import remove
from adapters.system.budgets import budget
from engine.rulesets.plan import Plan

_LOG = structlog.get_logger(__name__)


@click.command("apply")
@node_options
@limit_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--confirm-timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Take it back after that time, unless nodewall confirm comes before.",
)
@click.option("--force-unsafe", is_flag=True, help="Apply even what is not proved to be safe.")
@output_option
def apply_command(
    world: SelectionOptions,
    limits: LimitOptions,
    yes: bool,
    confirm_timeout: float | None,
    force_unsafe: bool,
    output: str,
) -> int:
    """Bring the policies of a node into force, and read back that they are.

    Rules that the kernel refuses fail alone: the others are in force, and the exit code is 1.
    """
    options = ApplyOptions(
        partial(budget, limits.max_seconds, limits.max_memory),
        confirm_timeout,
        force_unsafe,
        note,
        None if yes or not sys.stdin.isatty() else _ask,
    )
    done = Apply(Selection(world), NodeAccess(world.netns), options).run()
    emit(output, _applied_as_json(done, confirm_timeout), partial(_applied_as_text, done.plan, confirm_timeout))
    for name in sorted(done.kept_sets):
        note(f"{name} stays though no rule needs it, because others use it")
    for each in done.failed:
        click.echo(f"error: {each.policy}/{each.rule} is not in force: {each.words}", err=True)
    return 1 if done.failed else 0


def _ask(node: str, found: Planned) -> None:
    """Show the plan and ask for consent; raise ``Abort`` if the user declines."""
    click.echo(planned_as_text(found), err=True)
    click.confirm(f"Apply {plural(len(found.proposal.plan.changes), 'op')} to {node}?", abort=True, err=True)


def _applied_as_json(done: Applied, confirm_timeout: float | None) -> dict[str, object]:
    return {
        "applied": True,
        "ops": len(done.plan.changes),
        "sequence": done.sequence,
        "seconds": {name: round(seconds, 6) for name, seconds in done.seconds.items()},
        "verified": True,
        "confirm_within": confirm_timeout,
        "failed": [each.model_dump() for each in done.failed],
    }


@click.command("remove")
@kernel_options
@output_option
def remove_command(world: SelectionOptions, output: str) -> int:
    """Take everything nodewall owns off the node, of both backends; what others put there stays."""
    access = NodeAccess(world.netns)
    with access.lock() as held:
        done = remove(access.kernel(world.backend or BackendName.AUTO, held), wiring.SystemStopwatch())
    _LOG.info("removed", netns=world.netns, ops=done.ops)
    data = {"removed": not done.left, "ops": done.ops, "left": list(done.left)}
    emit(output, data, lambda: f"removed by {plural(done.ops, 'op')}")
    for name in done.left:
        click.echo(f"error: {name} stays, because others use it", err=True)
    return 1 if done.left else 0


def _applied_as_text(plan: Plan, seconds: float | None) -> str:
    done = f"applied {size_of(plan)} and read them back" if plan.changes else "0 ops: the node has it already"
    return done if seconds is None else f"{done}\ntaken back in {seconds:g} s, unless nodewall confirm comes before"
