"""Span of a policy: the nodes that it applies to, computed from labels and groups only.

Input: `ClusterState` and a `ClusterNetworkPolicy`. Output: node names, or None for a policy that applies only to Pods.
Peers and ports are not resolved. The cluster-wide status needs spans; a single node finds its rules with
:mod:`engine.policy.resolve`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from immutables import Map

from engine.objects import AppliedTo, ClusterNetworkPolicy, Node
from engine.objects.selectors import Selector
from engine.policy.peers import group_with_children
from engine.state.fold import ClusterState


@dataclass(slots=True)
class PolicySpans:
    """Computes spans of policies; caches the nodes of each selector until the state's nodes change."""

    _nodes: Map[str, Node] = Map()
    _selected: dict[Selector, frozenset[str]] = field(default_factory=dict)

    def of(self, state: ClusterState, policy: ClusterNetworkPolicy) -> frozenset[str] | None:
        """Return the names of the nodes that have rules of a policy; None if it applies only to Pods."""
        if state.nodes is not self._nodes:
            self._nodes, self._selected = state.nodes, {}
        selectors = list(_selectors(state, policy))
        if not selectors and any(entry.node_selector is None and entry.group is None for entry in _entries(policy)):
            return None
        return frozenset[str]().union(*map(self._of_selector, selectors))

    def _of_selector(self, selector: Selector) -> frozenset[str]:
        if selector not in self._selected:
            found = (name for name, node in self._nodes.items() if selector.matches(node.metadata.labels))
            self._selected[selector] = frozenset(found)
        return self._selected[selector]


def _selectors(state: ClusterState, policy: ClusterNetworkPolicy) -> Iterator[Selector]:
    for entry in _entries(policy):
        if entry.node_selector is not None:
            yield entry.node_selector.selector()
        elif entry.group is not None:
            specs = (group.spec for group in group_with_children(state, entry.group))
            yield from (spec.node_selector.selector() for spec in specs if spec.node_selector is not None)


def _entries(policy: ClusterNetworkPolicy) -> Iterator[AppliedTo]:
    """Yield the ``appliedTo`` entries of the policy and its rules; nothing if it has no rules."""
    rules = (*policy.spec.ingress, *policy.spec.egress)
    if rules:
        yield from policy.spec.applied_to
    for rule in rules:
        yield from rule.applied_to
