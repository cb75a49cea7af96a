"""``nodewall status``: shows the phase of each policy for a Node, and its notes.

Phases: pending, realizing, realized, failed. With ``--live``, also reads the kernel of the Node, and shows its drift,
the process that holds the lock, and the kill switch.

Raises ``Refused``, ``LogError``, ``UnknownNode`` and ``KernelError``.
"""

from functools import partial

import click

from adapters.application.live_status import LiveStatus, live_status, policy_statuses
from adapters.application.node_access import NodeAccess
from adapters.application.selection import Selection, SelectionOptions
from adapters.cli.options import status_options
from adapters.cli.render.output import emit, output_option, plural, table
from adapters.cli.render.policy_status import statuses_as_json
from engine.status.policy_status import PolicyStatus

_SHOWN = 20
"""Most operations in the output."""


@click.command("status")
@status_options
@output_option
def status_command(world: SelectionOptions, output: str) -> None:
    """Say of every policy for a node whether it is pending, realizing, realized or failed, and why.

    With --live, on the node itself, also who keeps it and what differs from what is wanted.
    """
    selection = Selection(world)
    found = policy_statuses(selection)
    policies = statuses_as_json(found)
    if not world.live:
        emit(output, policies, partial(_as_text, found))
        return
    live = live_status(selection, NodeAccess(world.netns))
    emit(
        output,
        {**_live_as_json(live), "policies": policies},
        lambda: f"{_live_as_text(live)}\n\n{_as_text(found)}",
    )


def _live_as_json(live: LiveStatus) -> dict[str, object]:
    return {
        "node": live.node,
        "kept_by": live.kept_by or None,
        "switched_off": live.switched_off or None,
        "backend": live.backend,
        "in_force": not live.operations,
        "operations": len(live.operations),
        "differences": list(live.operations[:_SHOWN]),
    }


def _live_as_text(live: LiveStatus) -> str:
    found = f"no, it would take {plural(len(live.operations), 'operation')}" if live.operations else "yes"
    lines = [f"kept by: {live.kept_by or 'nobody'}"]
    if live.switched_off:
        lines.append(f"switched off: {live.switched_off} is there")
    lines += [f"in force ({live.backend}): {found}", *(f"  {each}" for each in live.operations[:_SHOWN])]
    return "\n".join(lines)


def _as_text(found: tuple[PolicyStatus, ...]) -> str:
    rows = [
        (first.policy, first.phase.value, "" if first.sequence is None else str(first.sequence), "; ".join(first.notes))
        for first in found
    ]
    return table(("policy", "phase", "sequence", "notes"), rows)
