"""Cluster-wide status of a policy, aggregated from the reports of all nodes.

Input: `ClusterState` and `PolicyStatus` values by node and policy. Output: `PolicySummary`, or None for a policy that
applies only to Pods. Source: Antrea's ``status`` of ClusterNetworkPolicy: ``phase``, ``currentNodesRealized``,
``desiredNodesRealized``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.events import ObjectRefused
from engine.objects import ClusterNetworkPolicy
from engine.policy.policy_spans import PolicySpans
from engine.state.fold import ClusterState
from engine.status.policy_status import Phase, PolicyStatus, version_of

_SHOWN = 5
"""Maximum number of nodes and of refusal reasons in a message."""


@dataclass(frozen=True, slots=True)
class PolicySummary:
    """Status of a policy in the cluster: realized on ``current`` of the ``desired`` nodes it applies to."""

    phase: Phase
    current: int
    desired: int
    refused: str = ""
    """Reasons why the current version is refused; "" if it is accepted."""
    message: str = ""
    """Messages of nodes on which the policy is not realized."""


class ClusterStatus:
    """Aggregates node reports; caches policy spans and versions."""

    def __init__(self) -> None:
        self._spans = PolicySpans()
        self._versions: dict[str, tuple[ClusterNetworkPolicy, str]] = {}

    def of(
        self, state: ClusterState, name: str, reports: Mapping[str, Mapping[str, PolicyStatus]]
    ) -> PolicySummary | None:
        """Return the status of a policy from the nodes' reports; None if it applies only to Pods."""
        refusal, policy = state.refusals.get(f"ClusterNetworkPolicy/{name}"), state.policies.get(name)
        span = self._spans.of(state, policy) if policy is not None else frozenset()
        if span is None:
            return None
        if refusal is not None or policy is None:
            return PolicySummary(Phase.FAILED, 0, len(span), _words(refusal))
        found = {node: report for node in span if (report := reports.get(node, {}).get(name))}
        version = self._version(policy)
        done = [n for n, each in found.items() if (each.phase, each.version) == (Phase.REALIZED, version)]
        failed = sorted(n for n, each in found.items() if each.phase is Phase.FAILED)
        if len(done) == len(span):
            return PolicySummary(Phase.REALIZED, len(done), len(span))
        waiting = sorted(span.difference(done, failed))
        return PolicySummary(
            Phase.FAILED if failed else Phase.REALIZING if found else Phase.PENDING,
            len(done),
            len(span),
            message="; ".join(
                [
                    *(f"{node}: {', '.join(found[node].notes) or 'failed'}" for node in failed[:_SHOWN]),
                    *_more(failed, "more failed"),
                    *([f"not yet on {', '.join(waiting[:_SHOWN])}"] if waiting else ()),
                    *_more(waiting, "more are waited for"),
                ]
            ),
        )

    def _version(self, policy: ClusterNetworkPolicy) -> str:
        name = policy.metadata.name
        known = self._versions.get(name)
        if known is None or known[0] is not policy:
            known = self._versions[name] = (policy, version_of(policy))
        return known[1]


def _words(refusal: ObjectRefused | None) -> str:
    faults = refusal.faults if refusal else ()
    words = list(map(str, faults))
    return "; ".join([*words[:_SHOWN], *_more(words, "more reasons")]) or "refused"


def _more(all_of: list[str], what: str) -> Iterable[str]:
    return (f"{len(all_of) - _SHOWN} {what}",) if len(all_of) > _SHOWN else ()
