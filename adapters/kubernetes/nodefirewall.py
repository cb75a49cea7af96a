"""NodeFirewall custom resource: the report of an agent on the rules of its Node, named after the Node.

Input: a :class:`NodeReport` (rules and policies of a Node) to write, or a JSON document from the API server. Output: a
JSON document, or the status of each policy in the report.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from adapters.kubernetes.api.resources import OWN_VERSION, KubernetesObject
from engine.status.node_report import NodeReport
from engine.status.policy_status import Phase, PolicyStatus

_NOTES = "; "
_WORDS = 1000
"""Largest length of a message, in characters."""


class _Read(BaseModel):
    """Base model that ignores unknown fields, because a newer agent may have written them."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class StatusCondition(_Read):
    """One thing that is so or is not, since when and why, as Kubernetes has it."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str | None = None
    last_transition_time: str


class PolicyOnNode(_Read):
    """How far a policy is on the node; `version` tells which version of it is meant."""

    name: str
    phase: Phase
    version: str | None = None
    message: str | None = None


class LastRefusal(_Read):
    """The last state that the node did not bring into force, and why; it stays when another one is in force."""

    sequence: int
    message: str


class NodeFirewallStatus(_Read):
    """What is in force on a node, by the sequence of its log and the SHA-256 of its ruleset."""

    applied_sequence: int | None = None
    ruleset_hash: str | None = None
    rules: int = 0
    sets: int = 0
    members: int = 0
    conditions: tuple[StatusCondition, ...] = ()
    policies: tuple[PolicyOnNode, ...] = ()
    last_refusal: LastRefusal | None = None


class NodeFirewall(_Read):
    """A node's report; the agent of the node is who writes it."""

    status: NodeFirewallStatus = Field(default_factory=NodeFirewallStatus)


def document_of(
    report: NodeReport, before: tuple[StatusCondition, ...], now: str
) -> tuple[KubernetesObject, tuple[StatusCondition, ...]]:
    """Return a report as an API object, and its conditions.

    A condition whose status did not change keeps its transition time from ``before``; any other gets ``now``.
    """
    conditions = (_since(before, _enforced(report, now)),)
    status = NodeFirewallStatus(
        applied_sequence=report.sequence,
        ruleset_hash=report.ruleset or None,
        rules=report.rules,
        sets=report.sets,
        members=report.members,
        conditions=conditions,
        policies=tuple(map(_on_node, report.policies)),
        last_refusal=_refusal(report),
    )
    whole: KubernetesObject = {
        **empty_report(report.node),
        "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
    }
    return whole, conditions


def empty_report(node: str) -> KubernetesObject:
    """Return the API object of a Node without a report."""
    return {"apiVersion": OWN_VERSION, "kind": "NodeFirewall", "metadata": {"name": node}}


def policies_in(document: Mapping[str, object]) -> dict[str, PolicyStatus]:
    """Return the status of each policy in a Node's report, by policy name; nothing if the document is not a report."""
    try:
        status = NodeFirewall.model_validate(document).status
    except ValidationError:
        return {}
    return {
        each.name: PolicyStatus(each.name, each.phase, status.applied_sequence, _notes(each), each.version or "")
        for each in status.policies
    }


def _notes(policy: PolicyOnNode) -> tuple[str, ...]:
    return (policy.message,) if policy.message else ()


def _on_node(policy: PolicyStatus) -> PolicyOnNode:
    message = _cut(_NOTES.join(policy.notes))
    return PolicyOnNode(name=policy.policy, phase=policy.phase, version=policy.version or None, message=message)


def _refusal(report: NodeReport) -> LastRefusal | None:
    refusal = report.refusal
    return None if refusal is None else LastRefusal(sequence=refusal.wanted, message=_cut(refusal.words) or "failed")


def _enforced(report: NodeReport, now: str) -> StatusCondition:
    status: Literal["True", "False", "Unknown"] = (
        "Unknown" if report.enforced is None else "True" if report.enforced else "False"
    )
    return StatusCondition(
        type="Enforced", status=status, reason=report.reason, message=_cut(report.message), last_transition_time=now
    )


def _since(before: tuple[StatusCondition, ...], condition: StatusCondition) -> StatusCondition:
    """Return the condition with the time of its last change of status."""
    for each in before:
        if (each.type, each.status) == (condition.type, condition.status):
            return condition.model_copy(update={"last_transition_time": each.last_transition_time})
    return condition


def _cut(words: str) -> str | None:
    """Return the text, shortened if needed; None if empty, because some servers apply an empty string as null."""
    if not words:
        return None
    return words if len(words) <= _WORDS else f"{words[: _WORDS - 1]}…"
