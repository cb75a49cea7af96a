"""``plan``, ``apply`` and ``remove``: a node's kernel, asked or changed."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import click
import structlog

from adapters import wiring
from adapters.cli.effects import effect_as_json, effect_as_text
from adapters.cli.options import LimitOptions, kernel_options, limit_options, node_options, plan_options
from adapters.cli.output import counted, emit, output_option
from adapters.confirmation import confirmed_within
from adapters.conntrack import ConnectionTable
from adapters.hostfacts import observe
from adapters.kernel import Backend
from adapters.limits import budget
from adapters.process import SystemRunner
from adapters.world import WorldOptions, backend_of, node_of, state_of
from engine.desired import Desired, desired
from engine.errors import Fault, KernelRefused, NoProof, NotInForce, Refused, Unsafe
from engine.events import ApplyFailed, HostObserved, RulesetApplied
from engine.plan import Plan, fingerprint
from engine.ports import Kernel, Verifier
from engine.reconcile import Dispatcher, NodeRuleReconciler, Proposal, propose, realize
from engine.rules import Plane
from engine.ruleset import Ruleset
from engine.state import ClusterState
from engine.status import notes_of
from simulator.compare import Change, compare
from simulator.guard import TrustingVerifier
from simulator.headerspace import Budget

_LOG = structlog.get_logger(__name__)


@click.command("plan")
@plan_options
@limit_options
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 where there is something to do.")
@output_option
def plan_command(world: WorldOptions, limits: LimitOptions, detailed_exitcode: bool, output: str) -> int:
    """Show what apply would do, and what would become of packets."""
    state, node = state_of(world), node_of(world)
    wanted = desired(_seen(state, node, world), node)
    _tell(state, wanted)
    allowed = budget(limits.max_seconds, limits.max_memory)
    guard = wiring.verifier(state, node, world.netns, allowed)
    kernel = wiring.kernel(world.netns, backend_of(world, state))
    proposal = _proposal(wanted, kernel, guard)
    effect = _effect(proposal, allowed)
    emit(output, _proposal_as_json(proposal, effect), partial(_proposal_as_text, proposal, effect))
    return 2 if detailed_exitcode and proposal.plan.ops else 0


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
def apply_command(  # the parameters are the command line contract's
    world: WorldOptions,
    limits: LimitOptions,
    yes: bool,
    confirm_timeout: float | None,
    force_unsafe: bool,
    output: str,
) -> None:
    """Bring the policies of a node into force, and read back that they are."""
    state, node = state_of(world), node_of(world)
    if world.log and world.at:
        raise Refused((Fault("--at", "a past state cannot be applied", "apply without --at"),))
    seen = _seen(state, node, world)
    wanted = desired(seen, node)
    kernel = wiring.kernel(world.netns, backend_of(world, state))
    allowed = budget(limits.max_seconds, limits.max_memory)
    guard = wiring.verifier(state, node, world.netns, allowed)
    _tell(state, wanted)
    if not yes and sys.stdin.isatty():
        _ask(_proposal(wanted, kernel, guard), allowed, node)
    if left := sum(rule.plane is not Plane.NODES for rule in wanted.rules):
        _LOG.info("rules left to other data planes", node=node, rules=left)
    watch = wiring.SystemStopwatch()
    nodes = NodeRuleReconciler(kernel, guard, watch, wanted.options, force_unsafe=force_unsafe)
    planes = Dispatcher()
    planes.register(Plane.NODES, nodes)
    record = (world.log, node, str(state.sequence)) if world.log else ()
    try:
        with confirmed_within(confirm_timeout, world.netns, kernel.backend, record):
            planes.batch_reconcile(wanted.rules)
    except (KernelRefused, NotInForce, Unsafe) as error:
        if world.log:
            _record(world.log, state, ApplyFailed(node=node, wanted=state.sequence, words=str(error)))
        raise
    plan = nodes.latest.plan
    if state.config.enforce_established:
        forgotten = ConnectionTable(SystemRunner(world.netns)).enforce(wanted.ruleset)
        _LOG.info("connections forgotten", node=node, connections=forgotten)
    if world.log and wanted.ruleset != desired(state, node).ruleset:
        # What the host was seen to have made a difference, so history needs it to tell the same.
        _append(world.log, seen.hosts[node])
    if world.log:
        _record(world.log, state, _applied(node, state, nodes.latest))
    data = {
        "applied": True,
        "ops": len(plan.ops),
        "sequence": state.sequence if world.log else None,
        "seconds": {name: round(seconds, 6) for name, seconds in watch.seconds.items()},
        "verified": True,
        "confirm_within": confirm_timeout,
    }
    _LOG.info("applied", node=node, netns=world.netns, ops=len(plan.ops), sequence=state.sequence)
    emit(output, data, partial(_applied_as_text, plan, confirm_timeout))


@click.command("remove")
@kernel_options
@output_option
def remove_command(world: WorldOptions, output: str) -> None:
    """Take everything nodewall owns off the node; what others put there stays."""
    kernel, watch = wiring.kernel(world.netns, world.backend or Backend.AUTO), wiring.SystemStopwatch()
    proposal = propose(Ruleset(), kernel, TrustingVerifier(), watch)
    realize(proposal, kernel, watch)
    _LOG.info("removed", netns=world.netns, ops=len(proposal.plan.ops))
    emit(
        output,
        {"removed": True, "ops": len(proposal.plan.ops)},
        lambda: f"removed by {counted(len(proposal.plan.ops), 'op')}",
    )


def _tell(state: ClusterState, wanted: Desired) -> None:
    """Say what is to be known of the policies before they are in force."""
    for name in sorted({rule.policy for rule in wanted.rules if rule.plane is Plane.NODES} & {*state.policies}):
        for note in notes_of(state, wanted, name):
            click.echo(f"note: {name}: {note}", err=True)


def _seen(state: ClusterState, node: str, world: WorldOptions) -> ClusterState:
    """Return the state with what the node is seen to have now, where nobody told."""
    if world.interfaces:
        return state
    return replace(state, hosts=state.hosts.set(node, observe(node, SystemRunner(world.netns), world.netns)))


def _proposal(wanted: Desired, kernel: Kernel, guard: Verifier) -> Proposal:
    return propose(wanted.ruleset, kernel, guard, wiring.SystemStopwatch())


def _effect(proposal: Proposal, allowed: Budget) -> tuple[Change, ...] | None:
    """Return what a plan changes for packets, None where the budget does not do to find out."""
    try:
        return compare(proposal.observed, proposal.reached, budget=allowed)
    except NoProof:
        return None


def _ask(proposal: Proposal, allowed: Budget, node: str) -> None:
    if proposal.plan.ops:
        click.echo(_proposal_as_text(proposal, _effect(proposal, allowed)), err=True)
        click.confirm(f"Apply {counted(len(proposal.plan.ops), 'op')} to {node}?", abort=True, err=True)


def _applied(node: str, state: ClusterState, taken: Proposal) -> RulesetApplied:
    digest = fingerprint(taken.wanted)
    return RulesetApplied(node=node, realized=state.sequence, ruleset=digest, operations=len(taken.plan.ops))


def _record(path: str, state: ClusterState, outcome: RulesetApplied | ApplyFailed) -> None:
    """Append the outcome to the log, unless the log says the same already."""
    if _same(state.outcomes.get(outcome.node), outcome):
        return
    _append(path, outcome)


def _append(path: str, body: RulesetApplied | ApplyFailed | HostObserved) -> None:
    # Others may have appended since the state was read; an outcome names the sequence it is about.
    log = wiring.event_log(path)
    log.append([body], source="nodewall apply", expected=log.last_sequence())


def _same(known: RulesetApplied | ApplyFailed | None, outcome: RulesetApplied | ApplyFailed) -> bool:
    match known, outcome:
        case RulesetApplied(), RulesetApplied():
            return known.ruleset == outcome.ruleset and outcome.operations == 0
        case _:
            return False


def _proposal_as_json(proposal: Proposal, effect: Sequence[Change] | None) -> Mapping[str, object]:
    judged = proposal.judgement
    return {
        "ops": [op.as_json() for op in proposal.plan.ops],
        "steps": len(proposal.plan.steps),
        "effect": None if effect is None else effect_as_json(effect),
        "proof": {
            "safe": judged.safe,
            "method": proposal.method,
            "lockout": list(judged.lost),
            "broken": list(judged.broken),
            "strays": list(judged.strays),
            "unproved": list(judged.unproved),
        },
    }


def _proposal_as_text(proposal: Proposal, effect: Sequence[Change] | None) -> str:
    lines = [_plan_as_text(proposal.plan)] if proposal.plan.ops else []
    lines.append(_size(proposal.plan))
    if proposal.plan.ops:
        lines.append("what becomes of packets is not known" if effect is None else effect_as_text(effect))
    lines += (click.style(f"unsafe: {reason}", fg="red") for reason in proposal.judgement.reasons)
    return "\n".join(lines)


def _size(plan: Plan) -> str:
    return f"{counted(len(plan.ops), 'op')} in {counted(len(plan.steps), 'step')}"


def _applied_as_text(plan: Plan, seconds: float | None) -> str:
    done = f"applied {_size(plan)} and read them back" if plan.ops else "0 ops: the node has it already"
    return done if seconds is None else f"{done}\ntaken back in {seconds:g} s, unless nodewall confirm comes before"


_SIGNS = {"create": "+", "add": "+", "insert": "+", "append": "+", "new-chain": "+", "change": "~"}


def _plan_as_text(plan: Plan) -> str:
    return "\n".join(f"  {_SIGNS.get(op.op, '-')} {op}" for op in plan.ops)
