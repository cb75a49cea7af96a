"""Admission: checks submitted objects against the cluster state and converts them to events.

Input: `ClusterState`, `SubmittedObject` values and a `SubmitMode`. Output: `AdmissionResult`: events, or every fault.
Models validate each object alone; the checks here need the whole cluster: existing tiers, unique tier priorities,
protected deletions, group nesting. Errors: `events_for` raises `Refused`.

Sources: https://antrea.io/docs/main/docs/antrea-network-policy/#tier and #clustergroup there.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from engine.errors import Fault, FieldPath, Refused, SourceLocation, safe_text
from engine.events import EventBody, ObjectRefused, Refusal, declaration_of, deletion_of
from engine.objects import (
    DEFAULT_TIER,
    KINDS,
    RESERVED_TIERS,
    ClusterGroup,
    ClusterNetworkPolicy,
    ClusterObject,
    Tier,
    key_of,
)
from engine.state.fold import ClusterState
from engine.validation_errors import path_of

MAX_TIERS = 20
"""Maximum number of tiers besides the reserved ones."""

MAX_FAULTS = 20
"""Maximum number of recorded faults per object; a last entry gives the number of further ones."""


class ObjectOrigin(Protocol):
    """Source of a submitted object."""

    def place(self, location: FieldPath = ()) -> SourceLocation:
        """Return the location of a field, or of the nearest enclosing one."""
        ...


SubmittedObject = tuple[ClusterObject, ObjectOrigin | SourceLocation | None]
"""An object and its source, if known."""

_Key = tuple[str, str]


class SubmitMode(StrEnum):
    """Meaning of a submission."""

    DECLARE = "declare"
    """Create or change the submitted objects; keep all others."""
    SYNC = "sync"
    """Create or change the submitted objects; delete all others."""
    DELETE = "delete"
    """Delete the submitted objects; only kind and name count."""


@dataclass(frozen=True, slots=True)
class InvalidObject:
    """An object that its model refused; ``tier`` is the tier that it names, with its location."""

    kind: str
    key: str
    faults: tuple[Fault, ...]
    place: SourceLocation
    tier: tuple[str, SourceLocation] | None = None


@dataclass(frozen=True, slots=True)
class AdmissionResult:
    """Result of admission: the events in ``bodies``, or ``faults`` and the ``refusals`` to record."""

    bodies: tuple[EventBody, ...] = ()
    faults: tuple[Fault, ...] = ()
    refusals: tuple[ObjectRefused, ...] = ()


@dataclass(frozen=True, slots=True)
class _Objection:
    """A fault and the object that has it."""

    about: _Key
    fault: Fault


def events_for(
    state: ClusterState, objects: Sequence[SubmittedObject], mode: SubmitMode = SubmitMode.DECLARE
) -> tuple[EventBody, ...]:
    """Return the events for a submission; see :func:`admit`.

    Raises:
        Refused: the submission has faults; all of them are listed.
    """
    judgement = admit(state, objects, mode)
    if judgement.faults:
        raise Refused(judgement.faults)
    return judgement.bodies


def admit(
    state: ClusterState,
    objects: Sequence[SubmittedObject],
    mode: SubmitMode = SubmitMode.DECLARE,
    faulty: Sequence[InvalidObject] = (),
) -> AdmissionResult:
    """Return the events for a submission, or all its faults.

    Unchanged objects give no event, unless it clears a recorded refusal. The order of events depends only on the
    result, and the state after each event is valid. Policies are deleted first; objects that policies need are declared
    before them and deleted last. Groups never nest too deep.

    Args:
        state: the state before the submission.
        objects: the valid objects.
        mode: declare, sync or delete.
        faulty: objects of the submission that their model refused. Their faults are in the refusals, but are not
            repeated in the faults.
    """
    given: dict[_Key, SubmittedObject] = {}
    for item, origin in objects:
        if mode is SubmitMode.DELETE or not _always_there(state, item):
            given.setdefault(_key(item), (item, origin))
    objections = [*_duplicates(objects, faulty), *_refusals(state, given, mode, faulty)]
    if objections or faulty:
        own = [_Objection((item.kind, item.key), fault) for item in faulty for fault in item.faults]
        return AdmissionResult(
            faults=tuple(objection.fault for objection in objections),
            refusals=tuple(_on_record(state, [*own, *objections])),
        )
    return AdmissionResult(_bodies(state, given, mode))


def _bodies(state: ClusterState, given: Mapping[_Key, SubmittedObject], mode: SubmitMode) -> tuple[EventBody, ...]:
    kept = () if mode is SubmitMode.DELETE else given.values()
    gone = list(_deleted_keys(state, given, mode))
    return (
        *(deletion_of(kind, name) for kind, name in gone if kind == "ClusterNetworkPolicy"),
        *(declaration_of(item) for item in _sorted(state, kept) if _is_news(state, item)),
        *(deletion_of(kind, name) for kind, name in gone if kind != "ClusterNetworkPolicy"),
    )


def _on_record(state: ClusterState, objections: Iterable[_Objection]) -> Iterator[ObjectRefused]:
    """Yield a refusal per object with a known name, unless the same refusal is already recorded."""
    faults: dict[_Key, list[Refusal]] = {}
    for objection in objections:
        fault = objection.fault
        faults.setdefault(objection.about, []).append(
            Refusal(path=fault.path, problem=fault.problem, expected=fault.expected)
        )
    for (kind, key), some in sorted(faults.items()):
        refusal = ObjectRefused(kind=kind, name=key, faults=_bounded(some))
        if key and state.refusals.get(f"{kind}/{key}") != refusal:
            yield refusal


def _bounded(faults: Sequence[Refusal]) -> tuple[Refusal, ...]:
    if len(faults) <= MAX_FAULTS:
        return tuple(faults)
    kept = tuple(faults[: MAX_FAULTS - 1])
    return (*kept, Refusal(path="", problem=f"{len(faults) - len(kept)} faults more"))


def _is_refused(state: ClusterState, key: _Key) -> bool:
    return "/".join(key) in state.refusals


def _is_news(state: ClusterState, item: ClusterObject) -> bool:
    return state.objects(item.kind).get(key_of(item)) != item or _is_refused(state, _key(item))


def _always_there(state: ClusterState, item: ClusterObject) -> bool:
    """Return whether it is an unchanged reserved tier, which a dump of a cluster includes."""
    return isinstance(item, Tier) and _is_as_reserved(item) and not _is_refused(state, _key(item))


def _key(item: ClusterObject) -> _Key:
    return item.kind, key_of(item)


def _sorted(state: ClusterState, given: Iterable[SubmittedObject]) -> list[ClusterObject]:
    rank = {kind: position for position, kind in enumerate(KINDS)}
    items = (item for item, _ in given)
    return sorted(items, key=lambda item: (rank[item.kind], _depth(state, item), key_of(item)))


def _depth(state: ClusterState, item: ClusterObject) -> int:
    """Return the order of a group: without children first, then those that had children, then those that get some.

    So a group loses a child before that child becomes a parent itself.
    """
    if not isinstance(item, ClusterGroup) or not item.spec.child_groups:
        return 0
    before = state.groups.get(item.metadata.name)
    return 1 if before is not None and before.spec.child_groups else 2


def _deleted_keys(state: ClusterState, given: Mapping[_Key, SubmittedObject], mode: SubmitMode) -> Iterator[_Key]:
    """Yield the objects to delete, in reverse order of declaration, names ascending.

    An object with only a recorded refusal is deleted too, which clears the refusal.
    """
    if mode is SubmitMode.DECLARE:
        return  # without a look at everything
    for kind in reversed(KINDS):
        refused = {refusal.name for refusal in state.refusals.values() if refusal.kind == kind}
        for name in sorted({*state.objects(kind), *refused}):
            if kind == "Tier" and name in RESERVED_TIERS:
                continue
            named = (kind, name) in given
            if (mode is SubmitMode.DELETE and named) or (mode is SubmitMode.SYNC and not named):
                yield kind, name


def _duplicates(objects: Sequence[SubmittedObject], faulty: Sequence[InvalidObject]) -> Iterator[_Objection]:
    first: dict[_Key, SourceLocation | None] = {}
    sound = [(_key(item), _place(origin, ("metadata", "name")), _place(origin)) for item, origin in objects]
    others = [((item.kind, item.key), item.place, item.place) for item in faulty if item.key]
    for key, place, whole in [*sound, *others]:
        if key in first:
            before = f", first at {first[key]}" if first[key] else ""
            problem = f"{key[0]} {safe_text(key[1])} is given twice{before}"
            yield _Objection(key, Fault("metadata.name", problem, "each object once", place))
        first.setdefault(key, whole)


def _refusals(
    state: ClusterState, given: Mapping[_Key, SubmittedObject], mode: SubmitMode, faulty: Sequence[InvalidObject]
) -> Iterator[_Objection]:
    tiers = [(item, origin) for item, origin in given.values() if isinstance(item, Tier)]
    for tier, origin in tiers:
        if tier.metadata.name in RESERVED_TIERS and (mode is SubmitMode.DELETE or not _is_as_reserved(tier)):
            problem = f"found {safe_text(tier.metadata.name)}, a reserved tier, which cannot change"
            yield _object((tier, origin), ("metadata", "name"), problem, "a name of your own")
    if mode is SubmitMode.DELETE:
        yield from _in_use(state, given, tiers)
        return
    yield from _ranks(state, tiers)
    yield from _tier_count(state, tiers)
    yield from _unknown_tiers(state, given, mode, faulty)
    yield from _nested(state, given)


def _is_as_reserved(tier: Tier) -> bool:
    return RESERVED_TIERS.get(tier.metadata.name) == tier.spec.priority


def _object(given: SubmittedObject, location: FieldPath, problem: str, expected: str) -> _Objection:
    item, origin = given
    return _Objection(_key(item), Fault(path_of(location), problem, expected, _place(origin, location)))


def _place(origin: ObjectOrigin | SourceLocation | None, location: FieldPath = ()) -> SourceLocation | None:
    return origin if origin is None or isinstance(origin, SourceLocation) else origin.place(location)


_Tiers = Sequence[tuple[Tier, ObjectOrigin | SourceLocation | None]]


def _in_use(state: ClusterState, given: Mapping[_Key, SubmittedObject], tiers: _Tiers) -> Iterator[_Objection]:
    users: dict[str, list[str]] = {}
    for name, policy in sorted(state.policies.items()):
        if ("ClusterNetworkPolicy", name) not in given:
            users.setdefault(policy.spec.tier, []).append(name)
    for tier, origin in tiers:
        policies = users.get(tier.metadata.name)
        if policies and tier.metadata.name in state.tiers:
            problem = f"{_named(tier)} is in use by ClusterNetworkPolicy {_listed(policies)}"
            expected = "these policies deleted, or in another tier, first"
            yield _object((tier, origin), ("metadata", "name"), problem, expected)


def _ranks(state: ClusterState, tiers: _Tiers) -> Iterator[_Objection]:
    """Yield faults of tier priorities; tiers about to be deleted still count, as in a cluster."""
    where = ("spec", "priority")
    holders = {priority: name for name, priority in RESERVED_TIERS.items()}
    holders |= {tier.spec.priority: name for name, tier in sorted(state.tiers.items())}
    for tier, origin in tiers:
        name, priority = tier.metadata.name, tier.spec.priority
        before = state.tiers.get(name)
        if name in RESERVED_TIERS:
            continue
        if before is not None and before.spec.priority != priority:
            problem = f"found {priority}, but the priority of {_named(tier)} cannot change"
            expected = f"{before.spec.priority}; or delete the tier first"
            yield _object((tier, origin), where, problem, expected)
        elif holders.setdefault(priority, name) != name:
            problem = f"found {priority}, which is the priority of tier {safe_text(holders[priority])}"
            yield _object((tier, origin), where, problem, "a priority that no other tier has")


def _tier_count(state: ClusterState, tiers: _Tiers) -> Iterator[_Objection]:
    names = set(state.tiers) - set(RESERVED_TIERS)
    for tier, origin in tiers:
        if tier.metadata.name in names or tier.metadata.name in RESERVED_TIERS:
            continue
        names.add(tier.metadata.name)
        if len(names) > MAX_TIERS:
            problem = f"{_named(tier)} would be tier number {len(names)}"
            expected = f"at most {MAX_TIERS} besides the reserved ones; delete others first"
            yield _object((tier, origin), (), problem, expected)


def _unknown_tiers(
    state: ClusterState, given: Mapping[_Key, SubmittedObject], mode: SubmitMode, faulty: Sequence[InvalidObject]
) -> Iterator[_Objection]:
    here = {name for kind, name in given if kind == "Tier"}
    there = [
        *RESERVED_TIERS,
        *sorted((here | set(state.tiers if mode is SubmitMode.DECLARE else ())) - set(RESERVED_TIERS)),
    ]
    # A tier with faults of its own is refused for these; who names it is not to blame.
    known = {*there, *(item.key for item in faulty if item.kind == "Tier")}
    expected = f"one of {', '.join(there)}"
    where = ("spec", "tier")
    for item, origin in given.values():
        if isinstance(item, ClusterNetworkPolicy) and item.spec.tier not in known:
            problem = f"found {safe_text(item.spec.tier)} in {_named(item)}, a tier that is not declared"
            yield _object((item, origin), where, problem, expected)
    for other in faulty:
        name, place = other.tier or (DEFAULT_TIER, other.place)
        if name not in known and name.casefold() not in RESERVED_TIERS:  # as SecurityOps, an older spelling
            problem = f"found {safe_text(name)}, a tier that is not declared"
            yield _Objection((other.kind, other.key), Fault(path_of(where), problem, expected, place))


def _nested(state: ClusterState, given: Mapping[_Key, SubmittedObject]) -> Iterator[_Objection]:
    """Yield faults of groups nested three deep; groups about to be deleted still count, as in a cluster."""
    groups = [(item, origin) for item, origin in given.values() if isinstance(item, ClusterGroup)]
    after = {**state.groups, **{group.metadata.name: group for group, _ in groups}}
    here = {group.metadata.name for group, _ in groups}
    parents = {child: name for name in sorted(after) if name not in here for child in after[name].spec.child_groups}
    for group, origin in groups:
        children = group.spec.child_groups
        for index, child in enumerate(children):
            if child in after and after[child].spec.child_groups:
                problem = f"found {safe_text(child)}, which has childGroups itself"
                yield _object((group, origin), ("spec", "childGroups", index), problem, "groups without childGroups")
        if children and group.metadata.name in parents:
            problem = f"found childGroups in a child of ClusterGroup {safe_text(parents[group.metadata.name])}"
            yield _object((group, origin), ("spec", "childGroups"), problem, "two levels of groups at most")


def _named(item: ClusterObject) -> str:
    return f"{item.kind} {safe_text(item.metadata.name)}"


def _listed(names: Sequence[str]) -> str:
    some = ", ".join(safe_text(name) for name in names[:5])
    return f"{some} and {len(names) - 5} more" if len(names) > 5 else some
