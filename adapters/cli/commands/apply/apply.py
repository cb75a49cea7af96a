"""``apply`` and ``remove``: a node's kernel changed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import click
import structlog

from adapters import wiring
from adapters.application.selection import SelectionOptions, backend_of, node_of, state_of
from adapters.cli.commands.apply.plan import ask, proposal_of, seen_by, size_of, tell
from adapters.cli.options import LimitOptions, kernel_options, limit_options, node_options
from adapters.cli.render.output import counted, emit, output_option
from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.backends import ToolBackend, mixture
from adapters.netfilter.conntrack import ConnectionTable
from adapters.node.commit_confirm import confirmed_within, settled
from adapters.node.journal import Journal
from adapters.node.node_lock import node_lock
from adapters.node.removal import clear_others, remove
from adapters.system.budgets import budget
from adapters.system.process import SystemRunner
from engine.desired.full import DesiredRuleset, desired
from engine.errors import Fault, KernelRefused, ReadBackDiffers, Refused, UnsafePlan
from engine.policy.completed_rules import Plane
from engine.reconcile.interfaces import Stopwatch
from engine.reconcile.reconciler import Dispatcher, NodeRuleReconciler
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
    state, node = state_of(world), node_of(world)
    if world.log and world.at:
        raise Refused((Fault("--at", "a past state cannot be applied", "apply without --at"),))
    seen = seen_by(state, node, world)
    wanted = desired(seen, node)
    tell(state, wanted)
    journal = Journal(node, state, wiring.event_log(world.log) if world.log else None)
    watch = wiring.SystemStopwatch()
    with node_lock(world.netns) as held:
        settled(world.netns)
        kernel = wiring.kernel(world.netns, backend_of(world, state), held)
        if found := mixture(kernel):
            click.echo(f"note: {found}", err=True)
        allowed = budget(limits.max_seconds, limits.max_memory)
        guard = wiring.verifier(state, node, world.netns, allowed)
        if not yes and sys.stdin.isatty():
            ask(proposal_of(wanted, kernel, guard), wanted, allowed, node)
        nodes = NodeRuleReconciler(kernel, guard, watch, wanted.options, force_unsafe=force_unsafe, begin=journal.begun)
        record = (world.log, node, str(state.sequence)) if world.log else ()
        with _recorded(journal), confirmed_within(confirm_timeout, world.netns, kernel.name, record):
            _bring_into_force(wanted, nodes, kernel, watch)
    if state.config.enforce_established:
        forgotten = ConnectionTable(SystemRunner(world.netns)).enforce(nodes.in_force)
        _LOG.info("connections forgotten", node=node, connections=forgotten)
    if world.log and wanted.ruleset != desired(state, node).ruleset:
        # What the host was seen to have made a difference, so history needs it to tell the same.
        journal.append(seen.hosts[node])
    journal.applied(nodes)
    _LOG.info("applied", node=node, netns=world.netns, ops=len(nodes.latest.plan.changes), sequence=state.sequence)
    return _reported(nodes, watch, output, state.sequence if world.log else None, confirm_timeout)


def _reported(
    nodes: NodeRuleReconciler,
    watch: wiring.SystemStopwatch,
    output: str,
    sequence: int | None,
    confirm_timeout: float | None,
) -> int:
    """Say what was done and what could not be, and return the exit code."""
    plan = nodes.latest.plan
    data = {
        "applied": True,
        "ops": len(plan.changes),
        "sequence": sequence,
        "seconds": {name: round(seconds, 6) for name, seconds in watch.seconds.items()},
        "verified": True,
        "confirm_within": confirm_timeout,
        "failed": [each.model_dump() for each in nodes.failed],
    }
    emit(output, data, partial(_applied_as_text, plan, confirm_timeout))
    for name in sorted(nodes.spared):
        click.echo(f"note: {name} stays though no rule needs it, because others use it", err=True)
    for each in nodes.failed:
        click.echo(f"error: {each.policy}/{each.rule} is not in force: {each.words}", err=True)
    return 1 if nodes.failed else 0


@contextmanager
def _recorded(journal: Journal) -> Iterator[None]:
    """Put on record that what is tried has failed, if it does."""
    try:
        yield
    except (KernelRefused, ReadBackDiffers, UnsafePlan) as error:
        journal.failed(error)
        raise


def _bring_into_force(wanted: DesiredRuleset, nodes: NodeRuleReconciler, kernel: ToolBackend, watch: Stopwatch) -> None:
    """Reconcile the rules of the node, and only then take away what an earlier run left in the other backend."""
    planes = Dispatcher()
    planes.register(Plane.NODES, nodes)
    if left := sum(rule.plane is not Plane.NODES for rule in wanted.rules):
        _LOG.info("rules left to other data planes", rules=left)
    planes.batch_reconcile(wanted.rules)
    if clear_others(kernel, watch):
        planes.batch_reconcile(wanted.rules)  # sets that those rules looked into can go now


@click.command("remove")
@kernel_options
@output_option
def remove_command(world: SelectionOptions, output: str) -> int:
    """Take everything nodewall owns off the node, of both backends; what others put there stays."""
    with node_lock(world.netns) as held:
        kernel = wiring.kernel(world.netns, world.backend or BackendName.AUTO, held)
        done = remove(kernel, wiring.SystemStopwatch())
    _LOG.info("removed", netns=world.netns, ops=done.ops)
    data = {"removed": not done.left, "ops": done.ops, "left": list(done.left)}
    emit(output, data, lambda: f"removed by {counted(done.ops, 'op')}")
    for name in done.left:
        click.echo(f"error: {name} stays, because others use it", err=True)
    return 1 if done.left else 0


def _applied_as_text(plan: Plan, seconds: float | None) -> str:
    done = f"applied {size_of(plan)} and read them back" if plan.changes else "0 ops: the node has it already"
    return done if seconds is None else f"{done}\ntaken back in {seconds:g} s, unless nodewall confirm comes before"
