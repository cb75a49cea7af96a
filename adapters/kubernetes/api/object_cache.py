"""Cache of objects from the API server, which computes the events that a log or a cluster state lacks.

Input: objects from lists and watches, then the current ``ClusterState``. Output: the events that lead to the received
objects: declarations, deletions, and refusals of objects that do not pass admission. An object refused because of
another one, such as a missing tier, is checked again each time.

The cache opens no connection. The recorder, the status controller and the webhook use it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from adapters.kubernetes.api.resources import RESOURCES, KubernetesObject, Resource, read
from engine.events import EventBody, deletion_of
from engine.objects import KINDS, RESERVED_TIERS, ClusterObject, Tier, key_of
from engine.state.admission import InvalidObject, admit
from engine.state.fold import ClusterState, evolve, fold_bodies

_RANK = {kind: place for place, kind in enumerate(KINDS)}
"""Kind -> position; an object may need objects of kinds with a lower position."""

_Key = tuple[str, str]
ReceivedObject = ClusterObject | InvalidObject


@dataclass(slots=True)
class ObjectCache:
    """Cache of received objects of some kinds, until :meth:`take` turns them into events.

    Callers wait until the cache is ``complete`` before they take events.
    """

    resources: Sequence[Resource] = RESOURCES
    _known: dict[str, set[str]] = field(default_factory=dict)
    """Existing keys, by kind."""
    _heard: dict[_Key, ReceivedObject] = field(default_factory=dict)
    _gone: set[_Key] = field(default_factory=set)
    _listed: set[str] = field(default_factory=set)
    """Kinds that were listed since the last :meth:`take`."""
    _waiting: dict[_Key, ClusterObject] = field(default_factory=dict)
    """Objects that were refused because of other objects, such as a missing tier; every `take` checks them again."""

    @property
    def complete(self) -> bool:
        """True if every kind was listed."""
        return len(self._known) == len(self.resources)

    def read(self, resource: Resource, document: KubernetesObject) -> ReceivedObject:
        return read(resource, document)

    def list(self, resource: Resource, found: Mapping[str, ReceivedObject]) -> None:
        self._heard.update({(resource.kind, key): item for key, item in found.items()})
        self._known[resource.kind] = set(found)
        self._listed.add(resource.kind)

    def hear(self, resource: Resource, key: str, found: ReceivedObject | None) -> None:
        place = (resource.kind, key)
        if found is None:
            self._known.setdefault(resource.kind, set()).discard(key)
            self._heard.pop(place, None)
            self._gone.add(place)
        else:
            self._known.setdefault(resource.kind, set()).add(key)
            self._gone.discard(place)
            self._heard[place] = found

    def take(self, state: ClusterState) -> tuple[EventBody, ...]:
        """Return the events that update a state to the received objects; a refused object keeps its last version.

        A deletion that is not possible yet, such as that of a tier in use, is left for a later call.
        """
        heard, gone = {**self._waiting, **self._heard}, self._gone | set(self._missing(state))
        self._heard, self._gone, self._listed, self._waiting = {}, set(), set(), {}
        bodies = [*_without(state, gone)]
        now = fold_bodies(bodies, state)
        again = _made_again(now, heard)
        resets = [deletion_of(kind, key) for kind, key in again]
        bodies += resets
        now = fold_bodies(resets, now)
        heard = {**{key: item for key, item in again.items() if key[0] != "Tier"}, **heard}
        for body in self._with(now, {key: item for key, item in heard.items() if key not in gone}):
            bodies.append(body)
            now = evolve(now, body)
        bodies += self._without_tiers(now, gone)
        return tuple(bodies)

    def _with(self, state: ClusterState, heard: Mapping[_Key, ReceivedObject]) -> Iterator[EventBody]:
        """Yield declarations and refusals: for all objects together if none is refused, else one by one."""
        sound = [item for item in heard.values() if not isinstance(item, InvalidObject)]
        whole = admit(state, [(item, None) for item in sound])
        if not whole.faults:
            yield from whole.bodies
            state = fold_bodies(whole.bodies, state)
        else:
            for item in sorted(sound, key=lambda each: (_RANK[each.kind], key_of(each))):
                alone = admit(state, [(item, None)])
                said: Sequence[EventBody] = alone.refusals if alone.faults else alone.bodies
                if alone.faults:
                    self._waiting[item.kind, key_of(item)] = item
                yield from said
                state = fold_bodies(said, state)
        for each in heard.values():
            if isinstance(each, InvalidObject):
                yield from admit(state, (), faulty=(each,)).refusals

    def _without_tiers(self, state: ClusterState, gone: set[_Key]) -> Iterator[EventBody]:
        """Yield the deletions of tiers; a tier that policies still use is tried again at the next `take`."""
        used = {policy.spec.tier for policy in state.policies.values()}
        for kind, key in sorted(gone):
            if kind != "Tier" or key in RESERVED_TIERS or not _is_there(state, kind, key):
                continue
            if key in used:
                self._gone.add((kind, key))
            else:
                yield deletion_of(kind, key)

    def _missing(self, state: ClusterState) -> Iterator[_Key]:
        """Yield the keys of listed kinds that the state has and the API server does not have."""
        for kind in self._listed:
            there = self._known[kind]
            refused = {refusal.name for refusal in state.refusals.values() if refusal.kind == kind}
            yield from ((kind, key) for key in {*state.objects(kind), *refused} - there)


def _is_there(state: ClusterState, kind: str, key: str) -> bool:
    return key in state.objects(kind) or f"{kind}/{key}" in state.refusals


def _made_again(state: ClusterState, heard: Mapping[_Key, ReceivedObject]) -> dict[_Key, ClusterObject]:
    """Return the previous versions of tiers whose priority changed, each after the policies that use it.

    The priority of a tier is immutable. So the tier was deleted and created again, which a new list does not show.
    """
    found: dict[_Key, ClusterObject] = {}
    for item in heard.values():
        if not isinstance(item, Tier):
            continue
        name = item.metadata.name
        before = state.tiers.get(name)
        if before is not None and before.spec.priority != item.spec.priority:
            users = {key: policy for key, policy in state.policies.items() if policy.spec.tier == name}
            found |= {("ClusterNetworkPolicy", key): policy for key, policy in sorted(users.items())}
            found["Tier", name] = before
    return found


def _without(state: ClusterState, gone: set[_Key]) -> Iterator[EventBody]:
    """Yield the deletions of objects, dependent objects first; tiers are deleted later."""
    for kind, key in sorted(gone, key=lambda each: (-_RANK[each[0]], each[1])):
        if kind != "Tier" and _is_there(state, kind, key):
            yield deletion_of(kind, key)
