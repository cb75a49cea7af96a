"""Computes the state of a cluster from its events: ``effect_of`` and ``evolve`` for one event, ``fold`` for many.

Input: a :class:`ClusterState` and event bodies. Output: a new :class:`ClusterState`. States are persistent values:
earlier states stay readable, and a new one shares everything that did not change. Events are not checked here;
:mod:`engine.state.admission` checks them before they are recorded.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, TypeVar

from immutables import Map

from engine.events import (
    CONFIGURATION,
    HOST,
    OUTCOME,
    PROPOSAL,
    REFUSAL,
    ConfigDeclared,
    Event,
    EventBody,
    HostObserved,
    ObjectRefused,
    StateChange,
    Value,
    assignment_of,
    declaration_of,
)
from engine.events.outcomes import ApplyFailed, ApplyProposed, RulesetApplied
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
)
from engine.objects.config import DEFAULT_CONFIGURATION, Configuration

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ClusterState:
    """All objects by key after event ``sequence``, host facts and outcomes by node, and open refusals."""

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
    """By node: a proposed apply that has neither succeeded nor failed yet, as far as recorded."""

    def value(self, kind: str, key: str) -> Value | None:
        """Return what stands at a place, as :class:`StateChange` names it; None where nothing does."""
        if kind == CONFIGURATION:
            return self.config
        found: Map[str, Value] = getattr(self, _PLACES[kind])
        return found.get(key)

    def with_effect(self, change: StateChange | None) -> "ClusterState":
        """Return the state after the event that has this effect on it; None only counts the event.

        A refusal stands until something happens to its object, a proposal until the next outcome of its node.
        """
        changed = self._written(change) if change is not None else {}
        return replace(self, sequence=self.sequence + 1, **changed)

    def _written(self, change: StateChange) -> dict[str, Any]:
        """Return the fields that an effect changes, by name."""
        if change.kind == CONFIGURATION:
            return {"config": change.after}
        name, key = _PLACES[change.kind], change.key
        values: Map[str, Value] = getattr(self, name)
        fields: dict[str, Any] = {
            name: values.set(key, change.after) if change.after is not None else _without(values, key)
        }
        if change.kind in _FIELDS and self.refusals:
            fields["refusals"] = _without(self.refusals, f"{change.kind}/{key}")
        elif change.kind == OUTCOME:
            fields["under_way"] = _without(self.under_way, key)
        return fields

    def objects(self, kind: str) -> Map[str, ClusterObject]:
        """Return the objects of one kind by key."""
        found: Map[str, ClusterObject] = getattr(self, _FIELDS[kind])
        return found

    def tier_priority(self, name: str) -> int | None:
        """Return the priority of a reserved or declared tier, or None if it does not exist."""
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
"""Kind -> field of `ClusterState` with its objects."""

_PLACES = {**_FIELDS, HOST: "hosts", REFUSAL: "refusals", OUTCOME: "outcomes", PROPOSAL: "under_way"}
"""Kind of a place -> where a state holds what stands there; but for the configuration, of which there is one."""


def effect_of(state: ClusterState, body: EventBody) -> StateChange | None:
    """Return what an event changes in a state, None where it changes nothing but the sequence."""
    written = assignment_of(body)
    if written is None:
        return None
    kind, key, after = written
    return StateChange(kind, key, state.value(kind, key), after)


def evolve(state: ClusterState, body: EventBody) -> ClusterState:
    """Return the state after one more event."""
    return state.with_effect(effect_of(state, body))


def fold(events: Iterable[Event], state: ClusterState | None = None) -> ClusterState:
    """Return the state after all events, starting from an empty cluster or from ``state``."""
    return fold_bodies((event.body for event in events), state)


def fold_bodies(bodies: Iterable[EventBody], state: ClusterState | None = None) -> ClusterState:
    """Return the state after all event bodies, starting from an empty cluster or from ``state``."""
    return reduce(evolve, bodies, state if state is not None else ClusterState())


def snapshot_events(state: ClusterState) -> Iterator[EventBody]:
    """Yield the fewest event bodies that give the state, except its sequence; the order is deterministic."""
    if state.config != DEFAULT_CONFIGURATION:
        yield ConfigDeclared(config=state.config)
    for name in _FIELDS.values():
        objects: Map[str, ClusterObject] = getattr(state, name)
        yield from (declaration_of(objects[key]) for key in sorted(objects))
    # Refusals of objects behind these, which would take them back; proposals behind what became of earlier ones.
    for known in (state.hosts, state.refusals, state.outcomes, state.under_way):
        yield from (known[key] for key in sorted(known))


def _without(objects: Map[str, T], name: str) -> Map[str, T]:
    return objects.delete(name) if name in objects else objects
