"""The state of a cluster as events leave it: ``evolve`` for one event, ``fold`` for many.

States are persistent values: evolving one leaves it readable, so every past state and every what-if costs only what
differs. Nothing here judges whether an event should have been recorded; :mod:`engine.intake` does, before.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar, assert_never

from immutables import Map

from engine.events import (
    ApplyFailed,
    Event,
    EventBody,
    NodeDeleted,
    NodeObserved,
    PolicyDeclared,
    PolicyDeleted,
    RulesetApplied,
    TierDeclared,
    TierDeleted,
)
from engine.objects import RESERVED_TIERS, ClusterNetworkPolicy, ClusterObject, Node, Tier

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ClusterState:
    """All objects by name after event ``sequence``, and what each node was last known to have in force."""

    sequence: int = 0
    policies: Map[str, ClusterNetworkPolicy] = Map()
    tiers: Map[str, Tier] = Map()
    nodes: Map[str, Node] = Map()
    outcomes: Map[str, RulesetApplied | ApplyFailed] = Map()

    def objects(self, kind: str) -> Map[str, ClusterObject]:
        """Return the objects of one kind by name."""
        by_kind: dict[str, Map[str, ClusterObject]] = {
            "ClusterNetworkPolicy": self.policies,
            "Tier": self.tiers,
            "Node": self.nodes,
        }
        return by_kind[kind]

    def tier_priority(self, name: str) -> int | None:
        """Return the rank of a tier, reserved or declared, or None where there is no such tier."""
        if name in RESERVED_TIERS:
            return RESERVED_TIERS[name]
        tier = self.tiers.get(name)
        return tier.spec.priority if tier else None


def evolve(state: ClusterState, body: EventBody) -> ClusterState:
    """Return the state after one more event."""
    after = replace(state, sequence=state.sequence + 1)
    match body:
        case PolicyDeclared():
            return replace(after, policies=state.policies.set(body.policy.metadata.name, body.policy))
        case PolicyDeleted():
            return replace(after, policies=_without(state.policies, body.name))
        case TierDeclared():
            return replace(after, tiers=state.tiers.set(body.tier.metadata.name, body.tier))
        case TierDeleted():
            return replace(after, tiers=_without(state.tiers, body.name))
        case NodeObserved():
            return replace(after, nodes=state.nodes.set(body.node.metadata.name, body.node))
        case NodeDeleted():
            return replace(after, nodes=_without(state.nodes, body.name))
        case RulesetApplied() | ApplyFailed():
            return replace(after, outcomes=state.outcomes.set(body.node, body))
        case _:
            assert_never(body)


def fold(events: Iterable[Event], state: ClusterState | None = None) -> ClusterState:
    """Return the state after all the events, from an empty cluster or from ``state``."""
    current = state if state is not None else ClusterState()
    for event in events:
        current = evolve(current, event.body)
    return current


def _without(objects: Map[str, T], name: str) -> Map[str, T]:
    return objects.delete(name) if name in objects else objects
