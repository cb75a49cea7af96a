"""``nodewall plan``: shows the operations that apply would perform, and the packets whose verdict would change.

Input: a cluster state (manifests or an event log), a Node and its kernel. Output: operations, verdict changes and the
objections of the lockout guard, as text or JSON. Nothing is changed.

Raises ``Refused`` for bad input, and ``UnknownNode`` if the cluster lacks the Node. Raises ``LogError`` or
``KernelError`` if the event log or the kernel cannot be read.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import click

from adapters.application.node_access import NodeAccess
from adapters.application.plan import Planned, plan
from adapters.application.selection import Selection, SelectionOptions
from adapters.cli.options import LimitOptions, limit_options, plan_options
from adapters.cli.render.changes import effect_as_json, effect_as_text
from adapters.cli.render.output import emit, output_option, plural
from adapters.cli.render.plans import ops_as_json
from adapters.system.budgets import budget
from engine.reconcile.reconciler import Proposal
from engine.rulesets.plan import Plan
from engine.rulesets.text.operations import ops_of
from simulator.analysis.compare import VerdictChange


@click.command("plan")
@plan_options
@limit_options
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 where there is something to do.")
@output_option
def plan_command(world: SelectionOptions, limits: LimitOptions, detailed_exitcode: bool, output: str) -> int:
    """Show what apply would do, and what would become of packets."""
    allowed = partial(budget, limits.max_seconds, limits.max_memory)
    found = plan(Selection(world), NodeAccess(world.netns), allowed, note)
    emit(output, proposal_as_json(found.proposal, found.effect), partial(planned_as_text, found))
    return 2 if detailed_exitcode and found.proposal.plan.changes else 0


def note(text: str) -> None:
    """Write a note to stderr, so that it does not mix with the result on stdout."""
    click.echo(f"note: {text}", err=True)


def proposal_as_json(proposal: Proposal, effect: Sequence[VerdictChange] | None) -> Mapping[str, object]:
    """Return a proposal with the keys of the command line reference; ``effect`` is None if it is unknown."""
    judged = proposal.judgement
    return {
        "ops": ops_as_json(ops_of(proposal.plan)),
        "steps": len(proposal.plan.steps),
        "effect": None if effect is None else effect_as_json(effect),
        "proof": {
            "safe": judged.safe,
            "method": proposal.method.value,
            "lockout": list(judged.lost),
            "broken": list(judged.broken),
            "strays": list(judged.strays),
            "unproved": list(judged.unproved),
        },
    }


def planned_as_text(found: Planned) -> str:
    """Return the operations of a plan, its effect on packets, and the objections of the lockout guard."""
    proposal, effect = found.proposal, found.effect
    lines = [_plan_as_text(proposal.plan)] if proposal.plan.changes else []
    lines.append(size_of(proposal.plan))
    if proposal.plan.changes:
        lines.append("what becomes of packets is not known" if effect is None else effect_as_text(effect))
    lines += (click.style(f"unsafe: {reason}", fg="red") for reason in proposal.judgement.reasons)
    return "\n".join(lines)


def size_of(plan: Plan) -> str:
    """Return the numbers of operations and steps of a plan, as text."""
    return f"{plural(len(plan.changes), 'op')} in {plural(len(plan.steps), 'step')}"


_SIGNS = {"create": "+", "add": "+", "insert": "+", "append": "+", "new-chain": "+", "change": "~"}


def _plan_as_text(plan: Plan) -> str:
    return "\n".join(f"  {_SIGNS.get(op.op, '-')} {op}" for op in ops_of(plan))
