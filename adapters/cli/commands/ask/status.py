"""``status``: how far each policy for a node is, and what is to be known of it; on the node, whether it is in force."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

from adapters import wiring
from adapters.application.selection import SelectionOptions, backend_of, node_of, state_of
from adapters.cli.options import status_options
from adapters.cli.render.output import counted, emit, output_option, table
from adapters.cli.render.policy_status import statuses_as_json
from adapters.netfilter.backends import ToolBackend
from adapters.node.kill_switch import switch_of
from adapters.node.node_lock import holder_of
from engine.desired.full import desired
from engine.rulesets.diff import diff
from engine.rulesets.model import Ruleset
from engine.rulesets.text.operations import op_of
from engine.status.policy_status import PolicyStatus, statuses

_SHOWN = 20
"""Operations that are shown."""


@click.command("status")
@status_options
@output_option
def status_command(world: SelectionOptions, output: str) -> None:
    """Say of every policy for a node whether it is pending, realizing, realized or failed, and why.

    With --live, on the node itself, also who keeps it and what differs from what is wanted.
    """
    state, node = state_of(world), node_of(world)
    wanted = desired(state, node)
    found = statuses(state, node, wanted)
    policies = statuses_as_json(found)
    if not world.live:
        emit(output, policies, lambda: _as_text(found))
        return
    live = _live(wanted.ruleset, wiring.kernel(world.netns, backend_of(world, state)), node, world.netns)
    emit(output, {**live.as_json(), "policies": policies}, lambda: f"{live.as_text()}\n\n{_as_text(found)}")


@dataclass(frozen=True, slots=True)
class _Live:
    """What is found on a node itself."""

    node: str
    kept_by: str
    switched_off: str
    backend: str
    operations: Sequence[str]
    """What it would take until all that is wanted is in force."""

    def as_json(self) -> dict[str, object]:
        return {
            "node": self.node,
            "kept_by": self.kept_by or None,
            "switched_off": self.switched_off or None,
            "backend": self.backend,
            "in_force": not self.operations,
            "operations": len(self.operations),
            "differences": list(self.operations[:_SHOWN]),
        }

    def as_text(self) -> str:
        found = f"no, it would take {counted(len(self.operations), 'operation')}" if self.operations else "yes"
        lines = [f"kept by: {self.kept_by or 'nobody'}"]
        if self.switched_off:
            lines.append(f"switched off: {self.switched_off} is there")
        lines += [f"in force ({self.backend}): {found}", *(f"  {each}" for each in self.operations[:_SHOWN])]
        return "\n".join(lines)


def _live(wanted: Ruleset, kernel: ToolBackend, node: str, netns: str) -> _Live:
    operations = [str(op_of(change)) for change in diff(kernel.observe(), wanted)]
    switch = switch_of(netns)
    off = str(switch) if switch.exists() else ""
    return _Live(node, holder_of(netns), off, kernel.name.value, operations)


def _as_text(found: tuple[PolicyStatus, ...]) -> str:
    rows = [
        (first.policy, first.phase.value, "" if first.sequence is None else str(first.sequence), "; ".join(first.notes))
        for first in found
    ]
    return table(("policy", "phase", "sequence", "notes"), rows)
