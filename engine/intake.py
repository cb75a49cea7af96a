"""What declared objects would change in a cluster, as events; or why they may not, all reasons at once.

Each object has been validated alone, by its model. Here stands what only the whole cluster can tell: names that
must exist, ranks that must differ, what must not be deleted. It knows nothing of files, nor of who declares.

Source: https://antrea.io/docs/main/docs/antrea-network-policy/#tier .
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

from engine.errors import Fault, Place, Refused, shown
from engine.events import EventBody, declared, deleted
from engine.objects import KINDS, RESERVED_TIERS, ClusterNetworkPolicy, ClusterObject, Tier
from engine.state import ClusterState

MAX_TIERS = 20
"""How many tiers a cluster may have besides the reserved ones."""

Given = tuple[ClusterObject, Place | None]
"""An object and where it was declared, if that is known."""

_Key = tuple[str, str]


class Mode(StrEnum):
    """What giving an object means."""

    DECLARE = "declare"
    """It is to be as given; what is not given stays."""
    SYNC = "sync"
    """It is to be as given; what is not given is deleted."""
    DELETE = "delete"
    """It is to be deleted, whatever else is said of it."""


def changes(state: ClusterState, objects: Sequence[Given], mode: Mode = Mode.DECLARE) -> tuple[EventBody, ...]:
    """Return the events that make the state what is asked; objects that are so already make none.

    The order depends on nothing but the result, and the state after each single event is sound: policies go before
    anything else changes, tiers and nodes come before the policies that need them and go after everything.

    Raises:
        Refused: for every reason there is.
    """
    given: dict[_Key, Given] = {}
    for item, place in objects:
        if mode is Mode.DELETE or not _always_there(item):
            given.setdefault(_key(item), (item, place))
    faults = [*_twice(objects), *_refusals(state, given, mode)]
    if faults:
        raise Refused(tuple(faults))
    kept = () if mode is Mode.DELETE else given.values()
    gone = list(_gone(state, given, mode))
    return (
        *(deleted(kind, name) for kind, name in gone if kind == "ClusterNetworkPolicy"),
        *(declared(item) for item in _sorted(kept) if _of_state(state, _key(item)) != item),
        *(deleted(kind, name) for kind, name in gone if kind != "ClusterNetworkPolicy"),
    )


def _always_there(item: ClusterObject) -> bool:
    """Return whether it is a reserved tier as every cluster has it, which whoever dumps a cluster gives us too."""
    return isinstance(item, Tier) and RESERVED_TIERS.get(item.metadata.name) == item.spec.priority


def _key(item: ClusterObject) -> _Key:
    return item.kind, item.metadata.name


def _of_state(state: ClusterState, key: _Key) -> ClusterObject | None:
    kind, name = key
    return state.objects(kind).get(name)


def _sorted(given: Iterable[Given]) -> list[ClusterObject]:
    rank = {kind: position for position, kind in enumerate(KINDS)}
    return sorted((item for item, _ in given), key=lambda item: (rank[item.kind], item.metadata.name))


def _gone(state: ClusterState, given: Mapping[_Key, Given], mode: Mode) -> Iterator[_Key]:
    """Yield what is deleted, in reverse of the order in which it would be declared, names ascending."""
    for kind in reversed(KINDS):
        for name in sorted(state.objects(kind)):
            named = (kind, name) in given
            if (mode is Mode.DELETE and named) or (mode is Mode.SYNC and not named):
                yield kind, name


def _twice(objects: Sequence[Given]) -> Iterator[Fault]:
    first: dict[_Key, Place | None] = {}
    for item, place in objects:
        key = _key(item)
        if key in first:
            before = f", first at {first[key]}" if first[key] else ""
            yield Fault("metadata.name", f"{_named(item)} is given twice{before}", "each object once", place)
        first.setdefault(key, place)


def _refusals(state: ClusterState, given: Mapping[_Key, Given], mode: Mode) -> Iterator[Fault]:
    tiers = [(item, place) for item, place in given.values() if isinstance(item, Tier)]
    for tier, place in tiers:
        if tier.metadata.name in RESERVED_TIERS:
            problem = f"found {shown(tier.metadata.name)}, a reserved tier, which cannot change"
            yield Fault("metadata.name", problem, "a name of your own", place)
    if mode is Mode.DELETE:
        yield from _in_use(state, given, tiers)
        return
    yield from _ranks(state, tiers)
    yield from _tier_count(state, tiers)
    yield from _unknown_tiers(state, given, mode)


def _in_use(
    state: ClusterState, given: Mapping[_Key, Given], tiers: Sequence[tuple[Tier, Place | None]]
) -> Iterator[Fault]:
    users: dict[str, list[str]] = {}
    for name, policy in sorted(state.policies.items()):
        if ("ClusterNetworkPolicy", name) not in given:
            users.setdefault(policy.spec.tier, []).append(name)
    for tier, place in tiers:
        policies = users.get(tier.metadata.name)
        if policies and tier.metadata.name in state.tiers:
            problem = f"{_named(tier)} is in use by ClusterNetworkPolicy {_listed(policies)}"
            yield Fault("metadata.name", problem, "these policies deleted, or in another tier, first", place)


def _ranks(state: ClusterState, tiers: Sequence[tuple[Tier, Place | None]]) -> Iterator[Fault]:
    """Yield the faults of tier priorities; tiers that are about to be deleted still count, as in a cluster."""
    holders = {priority: name for name, priority in RESERVED_TIERS.items()}
    holders |= {tier.spec.priority: name for name, tier in sorted(state.tiers.items())}
    for tier, place in tiers:
        name, priority = tier.metadata.name, tier.spec.priority
        before = state.tiers.get(name)
        if name in RESERVED_TIERS:
            continue
        if before is not None and before.spec.priority != priority:
            problem = f"found {priority}, but the priority of {_named(tier)} cannot change"
            yield Fault("spec.priority", problem, f"{before.spec.priority}; or delete the tier first", place)
        elif holders.setdefault(priority, name) != name:
            problem = f"found {priority}, which is the priority of tier {shown(holders[priority])}"
            yield Fault("spec.priority", problem, "a priority that no other tier has", place)


def _tier_count(state: ClusterState, tiers: Sequence[tuple[Tier, Place | None]]) -> Iterator[Fault]:
    names = set(state.tiers)
    for tier, place in tiers:
        if tier.metadata.name in names or tier.metadata.name in RESERVED_TIERS:
            continue
        names.add(tier.metadata.name)
        if len(names) > MAX_TIERS:
            problem = f"{_named(tier)} would be tier number {len(names)}"
            yield Fault("", problem, f"at most {MAX_TIERS} besides the reserved ones; delete others first", place)


def _unknown_tiers(state: ClusterState, given: Mapping[_Key, Given], mode: Mode) -> Iterator[Fault]:
    policies = ((item, place) for item, place in given.values() if isinstance(item, ClusterNetworkPolicy))
    mentions = [(item.spec.tier, f" in {_named(item)}", place) for item, place in policies]
    yield from _tier_faults(_tiers_there(state, (name for kind, name in given if kind == "Tier"), mode), mentions)


def unknown_tiers(
    state: ClusterState, objects: Sequence[Given], mode: Mode, mentions: Iterable[tuple[str, Place]]
) -> tuple[Fault, ...]:
    """Return the faults of tiers that documents name which are no policies for other reasons."""
    there = _tiers_there(state, (item.metadata.name for item, _ in objects if isinstance(item, Tier)), mode)
    return tuple(_tier_faults(there, [(name, "", place) for name, place in mentions]))


def _tiers_there(state: ClusterState, given: Iterable[str], mode: Mode) -> list[str]:
    """Return the tiers that policies may name after the change, the reserved ones first."""
    others = {*given, *(state.tiers if mode is Mode.DECLARE else ())}
    return [*RESERVED_TIERS, *sorted(others - set(RESERVED_TIERS))]


def _tier_faults(there: Sequence[str], mentions: Iterable[tuple[str, str, Place | None]]) -> Iterator[Fault]:
    for name, where, place in mentions:
        if name not in there and name.casefold() not in RESERVED_TIERS:  # as SecurityOps, an older spelling
            problem = f"found {shown(name)}{where}, a tier that is not declared"
            yield Fault("spec.tier", problem, f"one of {', '.join(there)}", place)


def _named(item: ClusterObject) -> str:
    return f"{item.kind} {shown(item.metadata.name)}"


def _listed(names: Sequence[str]) -> str:
    some = ", ".join(shown(name) for name in names[:5])
    return f"{some} and {len(names) - 5} more" if len(names) > 5 else some
