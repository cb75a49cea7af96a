"""``plan``: what would be done to a node's kernel, and what would become of packets."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import click

from adapters import wiring
from adapters.application.selection import SelectionOptions, backend_of, node_of, state_of
from adapters.cli.options import LimitOptions, limit_options, plan_options
from adapters.cli.render.changes import effect_as_json, effect_as_text
from adapters.cli.render.output import counted, emit, output_option
from adapters.cli.render.plans import ops_as_json
from adapters.netfilter.backends import mixture
from adapters.netfilter.hostfacts import observe
from adapters.system.budgets import budget
from adapters.system.process import SystemRunner
from engine.compiler import Layout
from engine.desired.full import DesiredRuleset, desired, linear
from engine.errors import NoProof
from engine.policy.completed_rules import Plane
from engine.reconcile.interfaces import Kernel, Verifier
from engine.reconcile.reconciler import Proposal, propose
from engine.rulesets.diff import apply_changes, diff
from engine.rulesets.plan import Plan
from engine.rulesets.text.operations import ops_of
from engine.state.fold import ClusterState
from engine.status.policy_status import notes_of
from simulator.analysis.compare import VerdictChange, compare
from simulator.symbolic import Budget


@click.command("plan")
@plan_options
@limit_options
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 where there is something to do.")
@output_option
def plan_command(world: SelectionOptions, limits: LimitOptions, detailed_exitcode: bool, output: str) -> int:
    """Show what apply would do, and what would become of packets."""
    state, node = state_of(world), node_of(world)
    wanted = desired(seen_by(state, node, world), node)
    tell(state, wanted)
    allowed = budget(limits.max_seconds, limits.max_memory)
    guard = wiring.verifier(state, node, world.netns, allowed)
    kernel = wiring.kernel(world.netns, backend_of(world, state))
    if found := mixture(kernel):
        click.echo(f"note: {found}", err=True)
    proposal = proposal_of(wanted, kernel, guard)
    effect = _effect(proposal, wanted, allowed)
    emit(output, _proposal_as_json(proposal, effect), partial(_proposal_as_text, proposal, effect))
    return 2 if detailed_exitcode and proposal.plan.changes else 0


def tell(state: ClusterState, wanted: DesiredRuleset) -> None:
    """Say what is to be known of the policies before they are in force."""
    for name in sorted({rule.policy for rule in wanted.rules if rule.plane is Plane.NODES} & {*state.policies}):
        for note in notes_of(state, wanted, name):
            click.echo(f"note: {name}: {note}", err=True)


def seen_by(state: ClusterState, node: str, world: SelectionOptions) -> ClusterState:
    """Return the state with what the node is seen to have now, where nobody told."""
    if world.interfaces:
        return state
    return replace(state, hosts=state.hosts.set(node, observe(node, SystemRunner(world.netns), world.netns)))


def proposal_of(wanted: DesiredRuleset, kernel: Kernel, guard: Verifier) -> Proposal:
    """Return the way to what is desired, judged."""
    return propose(wanted.ruleset, kernel, guard, wiring.SystemStopwatch())


def _effect(proposal: Proposal, wanted: DesiredRuleset, allowed: Budget) -> tuple[VerdictChange, ...] | None:
    """Return what a plan changes for packets, None where the budget does not do to find out.

    What will decide is named one by one, also where kernel rules will serve many.
    """
    reached = proposal.reached
    if wanted.options.layout is not Layout.LINEAR:
        reached = apply_changes(proposal.observed, diff(proposal.observed, linear(wanted)))
    try:
        return compare(proposal.observed, reached, budget=allowed)
    except NoProof:
        return None


def ask(proposal: Proposal, wanted: DesiredRuleset, allowed: Budget, node: str) -> None:
    """Show what would be done and ask; raise ``Abort`` where that is not wanted."""
    if proposal.plan.changes:
        click.echo(_proposal_as_text(proposal, _effect(proposal, wanted, allowed)), err=True)
        click.confirm(f"Apply {counted(len(proposal.plan.changes), 'op')} to {node}?", abort=True, err=True)


def _proposal_as_json(proposal: Proposal, effect: Sequence[VerdictChange] | None) -> Mapping[str, object]:
    judged = proposal.judgement
    return {
        "ops": ops_as_json(ops_of(proposal.plan)),
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


def _proposal_as_text(proposal: Proposal, effect: Sequence[VerdictChange] | None) -> str:
    lines = [_plan_as_text(proposal.plan)] if proposal.plan.changes else []
    lines.append(size_of(proposal.plan))
    if proposal.plan.changes:
        lines.append("what becomes of packets is not known" if effect is None else effect_as_text(effect))
    lines += (click.style(f"unsafe: {reason}", fg="red") for reason in proposal.judgement.reasons)
    return "\n".join(lines)


def size_of(plan: Plan) -> str:
    """Return how much there is to do."""
    return f"{counted(len(plan.changes), 'op')} in {counted(len(plan.steps), 'step')}"


_SIGNS = {"create": "+", "add": "+", "insert": "+", "append": "+", "new-chain": "+", "change": "~"}


def _plan_as_text(plan: Plan) -> str:
    return "\n".join(f"  {_SIGNS.get(op.op, '-')} {op}" for op in ops_of(plan))
