"""For which packets a match holds, found by asking the match itself.

A match is shown a packet whose fields are hidden. Each time it reads one, it is asked again for every value that makes
a difference. So what comes out is all that it says, and its meaning stands in no second place.
"""

from collections.abc import Hashable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import product
from typing import TypeVar, cast

from engine.rulesets.model import Family
from simulator.batch.columns import ColumnValue
from simulator.batch.domains import Domains, representative
from simulator.batch.edge_values import edges_of
from simulator.context import MatchMemory, PacketContext
from simulator.matches import CompiledMatch
from simulator.matches.breakpoints import BreakpointContext
from simulator.packets import Packet, protocol_names

T = TypeVar("T")


class RegionTruth(IntEnum):
    """Whether a match holds in a region, from best known to least: for the last, a packet must be walked to tell."""

    HOLDS = 0
    UNKNOWN = 1
    UNTOLD = 2


Constraint = tuple[str, int, frozenset[int]]
"""A field, the match that asks, and which of its values: by their place among those the match was asked for."""

MatchRegion = tuple[tuple[Constraint, ...], RegionTruth]
"""Packets that satisfy all constraints, and what a match says of them."""

_EVERYWHERE_UNTOLD: tuple[MatchRegion, ...] = (((), RegionTruth.UNTOLD),)

_MOST_QUESTIONS = 100_000
_MOST_REGIONS = 12


class _HiddenError(Exception):
    """A field was read that has not been shown yet."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class _TooManyError(Exception):
    """A match reads so many fields of so many values that walking is cheaper."""


class _AnyTime:
    """A time of which no more can be seen than that it is its own."""

    def __sub__(self, other: object) -> float:
        return float(self > other)

    def __gt__(self, other: object) -> bool:
        if other is not self:
            raise _HiddenError("time")
        return False

    __lt__ = __gt__

    def __int__(self) -> int:
        raise _HiddenError("time")


_TIME = _AnyTime()


@dataclass(slots=True)
class _Watched(MatchMemory):
    """A memory that knows what in it is no longer as it was at first, and hides what is known to change."""

    volatile: frozenset[Hashable] = frozenset()
    fresh: dict[Hashable, object] = field(default_factory=dict)

    def cell(self, key: Hashable, fresh: T) -> T:
        if key in self.volatile:
            raise _HiddenError("memory")
        if key not in self.cells:
            self.fresh[key] = deepcopy(fresh)
        return MatchMemory.cell(self, key, fresh)

    @property
    def changed(self) -> frozenset[Hashable]:
        """What a rule would now find otherwise."""
        if self.cells == self.fresh:
            return frozenset()
        return frozenset(key for key, found in self.cells.items() if found != self.fresh[key])


class _Shown:
    """A packet of which only some fields can be seen, and no bytes that are made up for it (once, by its hash)."""

    __slots__ = ("_known",)

    def __hash__(self) -> int:
        raise _HiddenError("wire")

    def __init__(self, known: Mapping[str, ColumnValue]) -> None:
        self._known = known

    def __getattr__(self, name: str) -> ColumnValue:
        try:
            return self._known[name]
        except KeyError:
            raise _HiddenError(name) from None


@dataclass(slots=True)
class RegionFinder:
    """Asks matches for their regions; ``wire`` says that packets know their bytes.

    ``volatile`` is what matches change of what rules remember, so that a packet finds another answer at a later rule.
    ``changed`` is what this survey has found of that. ``edges`` keeps by match what its fields were divided by,
    ``read`` the fields that any match has read.
    """

    context: BreakpointContext
    domains: Domains
    wire: bool
    volatile: frozenset[Hashable] = frozenset()
    changed: set[Hashable] = field(default_factory=set)
    edges: list[Mapping[str, Sequence[int]]] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    _kept: dict[str, tuple[MatchRegion, ...]] = field(default_factory=dict)

    def of_tests(self, tests: Sequence[CompiledMatch]) -> tuple[MatchRegion, ...]:
        """Return where all of a rule's matches hold, or may hold; the regions do not overlap."""
        # Behind a match of which something must be noted, a walk has to tell, as what is noted hangs on their order.
        noting = next((place for place, test in enumerate(tests) if self._notes(test)), len(tests) - 1)
        found = [self.of_test(test) for test in tests[: noting + 1]]
        regions: list[MatchRegion] = []
        for parts in product(*found):
            if len(regions) == _MOST_REGIONS:
                return _EVERYWHERE_UNTOLD
            constraints = tuple(each for part, _ in parts for each in part)
            regions.append((constraints, max((truth for _, truth in parts), default=RegionTruth.HOLDS)))
        return tuple(regions)

    def _notes(self, test: CompiledMatch) -> bool:
        return bool(test.assumed or (test.made_up and not self.wire))

    def of_test(self, test: CompiledMatch) -> tuple[MatchRegion, ...]:
        """Return where one match holds, or may hold."""
        if self._notes(test):
            return _EVERYWHERE_UNTOLD  # an answer names what it relies on, even where the match then fails
        if test.text not in self._kept:
            self._kept[test.text] = _Question(self, test).regions()
        return self._kept[test.text]


class _Question:
    """One match being asked."""

    def __init__(self, survey: RegionFinder, test: CompiledMatch) -> None:
        self._survey, self._test, self._asked = survey, test, 0
        self._memory = _Watched(volatile=survey.volatile)
        edges = edges_of(test.matches, survey.context) if test.matches else None
        self._ranges = survey.domains.ranged(edges)
        self._place = len(survey.edges)
        survey.edges.append(self._ranges)

    def regions(self) -> tuple[MatchRegion, ...]:
        known: dict[str, ColumnValue] = {
            "family": self._survey.context.family,
            "zone": 0,
            "connection": None,
            "time": _TIME,
        }
        if not self._survey.wire:
            known["wire"] = None
        try:
            return self._regions(known)
        except _TooManyError:
            return _EVERYWHERE_UNTOLD

    def _regions(self, known: Mapping[str, ColumnValue]) -> tuple[MatchRegion, ...]:
        self._asked += 1
        if self._asked > _MOST_QUESTIONS:
            raise _TooManyError
        try:
            truth = self._ask(cast("Packet", _Shown(known)))
        except _HiddenError as hidden:
            return self._divided(known, hidden.name)
        return () if truth is None else (((), truth),)

    def _ask(self, packet: Packet) -> RegionTruth | None:
        test, around = self._test, PacketContext(self._survey.context.host, self._memory)
        held = test.check(packet) if test.weigh is None else test.weigh(packet, around)
        changed = self._memory.changed
        if changed:
            self._survey.changed |= changed
            self._memory = _Watched(volatile=self._survey.volatile)
            return RegionTruth.UNTOLD
        return RegionTruth.UNKNOWN if held is None else RegionTruth.HOLDS if held else None

    def _divided(self, known: Mapping[str, ColumnValue], name: str) -> tuple[MatchRegion, ...]:
        """Ask again for each value of a field, and put together those of which the same is said."""
        self._survey.read.add(name)
        values = self._values(name)
        if values is None:
            return _EVERYWHERE_UNTOLD
        groups: dict[tuple[MatchRegion, ...], list[int]] = {}
        for place, value in enumerate(values):
            if value is not None or not _must_be_given(known, name):
                groups.setdefault(self._regions({**known, name: value}), []).append(place)
        if len(groups) == 1:
            (only,) = groups
            return only
        if len(groups) > _MOST_REGIONS:
            raise _TooManyError
        return tuple(
            (((name, self._place, frozenset(places)), *constraints), truth)
            for inside, places in groups.items()
            for constraints, truth in inside
        )

    def _values(self, name: str) -> Sequence[ColumnValue] | None:
        if name in self._ranges:
            family = self._survey.context.family
            return [representative(name, edge, family) for edge in self._ranges[name]]
        return self._survey.domains.listed.get(name)


def _must_be_given(known: Mapping[str, ColumnValue], name: str) -> bool:
    """Whether no packet in columns can lack a field that its protocol has: see `columns.incomplete`."""
    if known.get("fragment") is not False:
        return False
    if name == "icmp":
        return known.get("protocol") == protocol_names.ICMP_OF[cast("Family", known["family"])]
    return name in {"sport", "dport"} and known.get("protocol") in protocol_names.PORT_PROTOCOLS
