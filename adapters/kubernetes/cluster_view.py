"""In-memory view of a cluster for the status controller: policies, tiers, groups, Nodes and the reports of agents.

Input: objects from lists and watches. Output: a ``ClusterState``, the latest report of each Node, and the names of
policies whose status may have changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from adapters.kubernetes.api.object_cache import ObjectCache, ReceivedObject
from adapters.kubernetes.api.resources import (
    BY_KIND,
    NODE_FIREWALLS,
    KubernetesObject,
    Resource,
    mapping,
    read,
    text_of,
)
from adapters.kubernetes.nodefirewall import policies_in
from engine.state.fold import ClusterState, fold_bodies
from engine.status.policy_status import PolicyStatus

DECLARED = tuple(BY_KIND[kind] for kind in ("Tier", "ClusterGroup", "ClusterNetworkPolicy"))
"""Kinds that operators declare, and that the admission webhook checks."""

_CLUSTER = (*DECLARED, BY_KIND["Node"])
_POLICY = "ClusterNetworkPolicy"

NodeStatuses = Mapping[str, PolicyStatus]
"""Status of each policy on a Node, by policy name."""


@dataclass(frozen=True, slots=True)
class ApiObject:
    """Object of the API server: a model or a Node's report, with the metadata that only the API server has."""

    item: ReceivedObject | None = None
    report: NodeStatuses | None = None
    generation: int = 0
    uid: str = ""
    status: KubernetesObject = field(default_factory=dict)


@dataclass(slots=True)
class ClusterView:
    """Cache of received objects; :meth:`take` folds them into ``state``."""

    state: ClusterState = field(default_factory=ClusterState)
    seen: dict[tuple[str, str], ApiObject] = field(default_factory=dict)
    """Declared objects, by kind and name."""
    reports: dict[str, NodeStatuses] = field(default_factory=dict)
    """Reports, by Node."""
    _mirror: ObjectCache = field(default_factory=lambda: ObjectCache(_CLUSTER))
    _reported: bool = False
    _touched: set[str] = field(default_factory=set)

    @property
    def resources(self) -> tuple[Resource, ...]:
        """Kinds to watch."""
        return (*_CLUSTER, NODE_FIREWALLS)

    @property
    def complete(self) -> bool:
        """True if every kind was listed."""
        return self._mirror.complete and self._reported

    def take(self) -> frozenset[str]:
        """Fold the received objects into the state, and return the policies whose status may have changed."""
        before = self.state
        bodies = self._mirror.take(before)
        self.state = fold_bodies(bodies, before)
        everything = {name for kind, name in self.seen if kind == _POLICY}
        same = (before.nodes, before.groups, before.refusals) == (
            self.state.nodes,
            self.state.groups,
            self.state.refusals,
        )
        touched = (self._touched if same else everything) & everything
        self._touched = set()
        return frozenset(touched)

    def read(self, resource: Resource, document: KubernetesObject) -> ApiObject:
        if resource is NODE_FIREWALLS:
            return ApiObject(report=policies_in(document))
        known = mapping(document.get("metadata"))
        generation = known.get("generation")
        return ApiObject(
            item=read(resource, document),
            generation=generation if isinstance(generation, int) else 0,
            uid=text_of(known.get("uid")),
            status=mapping(document.get("status")) if resource.kind == _POLICY else {},
        )

    def list(self, resource: Resource, found: Mapping[str, ApiObject]) -> None:
        if resource is NODE_FIREWALLS:
            for node in {*self.reports, *found}:
                self._report(node, found[node].report if node in found else None)
            self._reported = True
            return
        self._mirror.list(resource, {key: each.item for key, each in found.items() if each.item is not None})
        if resource in DECLARED:
            kept = {place: each for place, each in self.seen.items() if place[0] != resource.kind}
            self.seen = {**kept, **{(resource.kind, key): each for key, each in found.items()}}
            self._touched |= set(found) if resource.kind == _POLICY else set()

    def hear(self, resource: Resource, key: str, found: ApiObject | None) -> None:
        if resource is NODE_FIREWALLS:
            self._report(key, found.report if found else None)
            return
        self._mirror.hear(resource, key, found.item if found else None)
        if resource in DECLARED:
            if found is None:
                self.seen.pop((resource.kind, key), None)
            else:
                self.seen[resource.kind, key] = found
            self._touched |= {key} if resource.kind == _POLICY else set()

    def _report(self, node: str, report: NodeStatuses | None) -> None:
        before, after = self.reports.pop(node, {}), report or {}
        self._touched |= {name for name in {*before, *after} if before.get(name) != after.get(name)}
        if report is not None:
            self.reports[node] = report
