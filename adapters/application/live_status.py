"""Status of the policies on a Node, and of the Node itself; used by ``nodewall status``.

Input: a :class:`Selection` (cluster state and Node) and a :class:`NodeAccess` (kernel of the Node). Output: a
:class:`PolicyStatus` (phase and notes) per policy. With ``--live`` also a :class:`LiveStatus`: the drift of the rules
in the kernel, the process that holds the lock of the Node, and the kill switch.

Raises ``Refused`` and ``UnknownNode`` if the options select no Node of the cluster, ``KernelError`` if its rules cannot
be read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.application.node_access import NodeAccess
from adapters.application.selection import Selection
from adapters.node.kill_switch import switch_of
from adapters.node.node_lock import holder_of
from engine.rulesets.diff import diff
from engine.rulesets.text.operations import op_of
from engine.status.policy_status import PolicyStatus, node_policy_statuses


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """Present status of a node.

    ``kept_by`` describes the nodewall process that holds the lock of the node, empty if there is none.
    ``switched_off`` is the path of the kill switch file, empty if it does not exist.
    """

    node: str
    kept_by: str
    switched_off: str
    backend: str
    operations: Sequence[str]
    """Operations that would lead from the rules in the kernel to the desired rules."""


def policy_statuses(selection: Selection) -> tuple[PolicyStatus, ...]:
    """Return the status of every policy for the selected node."""
    return node_policy_statuses(selection.state, selection.node, selection.desired)


def live_status(selection: Selection, access: NodeAccess) -> LiveStatus:
    """Return the present status of the selected node; raises ``KernelError`` where its rules cannot be read."""
    kernel, switch = access.kernel(selection.backend), switch_of(access.netns)
    operations = [str(op_of(change)) for change in diff(kernel.observe(), selection.desired.ruleset)]
    off = str(switch) if switch.exists() else ""
    return LiveStatus(selection.node, holder_of(access.netns), off, kernel.name.value, operations)
