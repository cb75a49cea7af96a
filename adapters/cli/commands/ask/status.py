"""``nodewall status``: shows the phase of each policy on a Node, and its notes.

Input: a cluster state (manifests or an event log) and a Node. Output: a table or JSON with the phases: pending,
realizing, realized or failed. With ``--live``, also the drift of the rules in the kernel, the process that holds the
lock of the Node, and the kill switch.

Raises ``Refused`` for bad input, and ``UnknownNode`` if the cluster lacks the Node. Raises ``LogError`` or
``KernelError`` if the event log or the kernel cannot be read.
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
