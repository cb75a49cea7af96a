"""Computes the effect of manifests on one Node without recording or applying them; used by ``nodewall what-if``.

Input: a :class:`Selection` (event log, manifests and Node), a ``SubmitMode`` (declare, delete or sync), and packets.
Output: :class:`WhatIf`, with the events that would be recorded, the operations and the verdict changes. The event log
stays unchanged.

Raises ``Refused`` for manifests with faults, and ``UnknownNode`` if the cluster would lack the Node. Raises
``LogError`` if the log cannot be read, and ``NoProof`` if the budget of time or memory is exceeded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from adapters.application.selection import Selection, admission_of
from engine.desired.incremental import derive
from engine.errors import Refused, UnknownNode
from engine.events import EventBody
from engine.rulesets.diff import diff
from engine.rulesets.plan import make_plan
from engine.rulesets.text.operations import Op, ops_of
from engine.state.admission import SubmitMode
from engine.state.fold import ClusterState, effect_of
from engine.state.object_diff import ObjectDiff, diff_of_event
from simulator.analysis.compare import VerdictChange, compare
from simulator.netfilter import Evaluation, Walker
from simulator.packets import Packet
from simulator.symbolic import Budget


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Events that would be recorded, each with the changes of its object, and their effect on a node."""

    events: tuple[tuple[EventBody, ObjectDiff | None], ...]
    ops: tuple[Op, ...]
    effect: tuple[VerdictChange, ...]
    answers: tuple[tuple[Evaluation, Evaluation], ...]
    """Answers for each packet, before and after the events."""


def what_if(selection: Selection, mode: SubmitMode, packets: Sequence[Packet], budget: Callable[[], Budget]) -> WhatIf:
    """Return the events and the effect that the selected manifests would have on the selected node.

    Raises:
        Refused: the manifests have faults.
        UnknownNode: the cluster lacks the node after the events.
        LogError: the log cannot be read or verified.
        NoProof: the budget is too small to compare all packets.
    """
    options, node = selection.options, selection.node
    before = derive(Selection(replace(options, files=())).state, node)
    judgement = admission_of(before.state, options.files, mode)
    if judgement.faults:
        raise Refused(judgement.faults)
    after = before.through(judgement.bodies)
    if node not in after.state.nodes:
        raise UnknownNode(node, tuple(sorted(after.state.nodes)))
    then, now = Walker(before.ruleset), Walker(after.ruleset)
    return WhatIf(
        events=tuple(_edited(before.state, judgement.bodies)),
        ops=ops_of(make_plan(diff(before.ruleset, after.ruleset))),
        effect=compare(before.ruleset, after.ruleset, budget=budget()),
        answers=tuple((then.verdict(packet), now.verdict(packet)) for packet in packets),
    )


def _edited(state: ClusterState, bodies: Sequence[EventBody]) -> list[tuple[EventBody, ObjectDiff | None]]:
    found = []
    for body in bodies:
        change = effect_of(state, body)
        found.append((body, diff_of_event(change)))
        state = state.with_effect(change)
    return found
