"""The state of a cluster as events leave it: ``evolve`` for one event, ``fold`` for many.

States are persistent values: evolving one leaves it readable, so every past state and every what-if costs only what
differs. Nothing here judges whether an event should have been recorded; :mod:`engine.state.admission` does, before.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, TypeVar, assert_never

from immutables import Map

from engine.events import (
    ConfigDeclared,
    Deletion,
    EndpointSliceObserved,
    Event,
    EventBody,
    GroupDeclared,
    HostObserved,
    NamespaceObserved,
    NodeObserved,
    ObjectRefused,
    PodObserved,
    PolicyDeclared,
    ServiceObserved,
    TierDeclared,
    declared,
)
from engine.events.outcomes import (
    ApplyConfirmed,
    ApplyFailed,
    ApplyProposed,
    DriftRepaired,
    LogCompacted,
    RulesetApplied,
)
from engine.objects import (
    RESERVED_TIERS,
    ClusterGroup,
    ClusterNetworkPolicy,
    ClusterObject,
    EndpointSlice,
    Namespace,
    Node,
    Pod,
    Service,
    Tier,
    key_of,
)
from engine.objects.config import DEFAULT_CONFIGURATION, Configuration

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ClusterState:
    """All objects by key after event ``sequence``; what is known of each node, and the refusals that stand."""

    sequence: int = 0
    policies: Map[str, ClusterNetworkPolicy] = Map()
    tiers: Map[str, Tier] = Map()
    groups: Map[str, ClusterGroup] = Map()
    nodes: Map[str, Node] = Map()
    namespaces: Map[str, Namespace] = Map()
    pods: Map[str, Pod] = Map()
    services: Map[str, Service] = Map()
    endpoint_slices: Map[str, EndpointSlice] = Map()
    config: Configuration = DEFAULT_CONFIGURATION
    hosts: Map[str, HostObserved] = Map()
    refusals: Map[str, ObjectRefused] = Map()
    """By ``kind/name``: the last refusal of an object, until it is declared again or deleted."""
    outcomes: Map[str, RulesetApplied | ApplyFailed] = Map()
    under_way: Map[str, ApplyProposed] = Map()
    """By node: what was proposed there and neither applied nor failed, as far as is known."""

    def objects(self, kind: str) -> Map[str, ClusterObject]:
        """Return the objects of one kind by key."""
        found: Map[str, ClusterObject] = getattr(self, _FIELDS[kind])
        return found

    def tier_priority(self, name: str) -> int | None:
        """Return the rank of a tier, reserved or declared, or None where there is no such tier."""
        if name in RESERVED_TIERS:
            return RESERVED_TIERS[name]
        tier = self.tiers.get(name)
        return tier.spec.priority if tier else None


_FIELDS = {
    "ClusterNetworkPolicy": "policies",
    "Tier": "tiers",
    "ClusterGroup": "groups",
    "Node": "nodes",
    "Namespace": "namespaces",
    "Pod": "pods",
    "Service": "services",
    "EndpointSlice": "endpoint_slices",
}
"""Kind -> where a state holds its objects."""


def evolve(state: ClusterState, body: EventBody) -> ClusterState:
    """Return the state after one more event."""
    after = state.sequence + 1
    match body:
        case (
            PolicyDeclared()
            | TierDeclared()
            | GroupDeclared()
            | NodeObserved()
            | NamespaceObserved()
            | PodObserved()
            | ServiceObserved()
            | EndpointSliceObserved()
        ):
            kind, key = body.object.kind, key_of(body.object)
            return _changed(state, kind, key, state.objects(kind).set(key, body.object))
        case Deletion():
            return _changed(state, body.kind, body.name, _without(state.objects(body.kind), body.name))
        case ConfigDeclared():
            return replace(state, sequence=after, config=body.config)
        case HostObserved():
            return replace(state, sequence=after, hosts=state.hosts.set(body.node, body))
        case ObjectRefused():
            refusals = state.refusals.set(f"{body.kind}/{body.name}", body)
            return replace(state, sequence=after, refusals=refusals)
        case RulesetApplied() | ApplyFailed():
            done = _without(state.under_way, body.node)
            return replace(state, sequence=after, outcomes=state.outcomes.set(body.node, body), under_way=done)
        case ApplyProposed():
            return replace(state, sequence=after, under_way=state.under_way.set(body.node, body))
        case DriftRepaired():
            return replace(state, sequence=after, under_way=_without(state.under_way, body.node))
        case ApplyConfirmed() | LogCompacted():
            return replace(state, sequence=after)
        case _:
            assert_never(body)


def _changed(state: ClusterState, kind: str, key: str, objects: Map[str, ClusterObject]) -> ClusterState:
    """Return the state after an event with other objects of a kind; what was refused of one at ``key`` is history."""
    changed: dict[str, Any] = {_FIELDS[kind]: objects, "refusals": _without(state.refusals, f"{kind}/{key}")}
    return replace(state, sequence=state.sequence + 1, **changed)


def fold(events: Iterable[Event], state: ClusterState | None = None) -> ClusterState:
    """Return the state after all the events, from an empty cluster or from ``state``."""
    return evolved((event.body for event in events), state)


def evolved(bodies: Iterable[EventBody], state: ClusterState | None = None) -> ClusterState:
    """Return the state after what all the events say, from an empty cluster or from ``state``."""
    return reduce(evolve, bodies, state if state is not None else ClusterState())


def shortest(state: ClusterState) -> Iterator[EventBody]:
    """Yield what events have to say that lead from nothing to a state, but for its sequence; always the same."""
    if state.config != DEFAULT_CONFIGURATION:
        yield ConfigDeclared(config=state.config)
    for name in _FIELDS.values():
        objects: Map[str, ClusterObject] = getattr(state, name)
        yield from (declared(objects[key]) for key in sorted(objects))
    # Refusals of objects behind these, which would take them back; proposals behind what became of earlier ones.
    for known in (state.hosts, state.refusals, state.outcomes, state.under_way):
        yield from (known[key] for key in sorted(known))


def _without(objects: Map[str, T], name: str) -> Map[str, T]:
    return objects.delete(name) if name in objects else objects
