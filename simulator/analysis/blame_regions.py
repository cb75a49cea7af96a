"""Blame for a set of packets: finds the last event (change of the cluster) that changed each packet's verdict.

Input: the rulesets after each event, and a `PacketRegion` (node, hook and packet expression). Output: the verdict
changes per event, and the packets whose verdict never changed.

The search goes from the last event to the first. Packets that an event changed are removed, so earlier events are
checked only for the rest. Raises `NoProof` if the budget of memory or time is exceeded, and `WitnessMismatch` if the
packet simulator computes another verdict for an example.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from engine.policy.completed_rules import Direction
from engine.policy.relevance import NumberSpan, PacketScope, PortSpan
from engine.rulesets.model import Family, Hook, Ruleset
from simulator.analysis.blame import DIRECTIONS
from simulator.analysis.compare import VerdictChange, changes_at_hook
from simulator.expression import Expression
from simulator.packet_sets.fields import ABSENT
from simulator.packets import Packet
from simulator.symbolic import (
    BddFunction,
    Budget,
    SymbolicContext,
    SymbolicRuleset,
    SymbolicRulesetReader,
    count,
    example,
    is_false,
    values,
    within_limits,
)

_VERSIONS = {Family.IPV4: 4, Family.IPV6: 6}
_FAR = {Direction.INGRESS: "src", Direction.EGRESS: "dst", None: "src"}


@dataclass(frozen=True, slots=True)
class PacketRegion:
    """Packets of a node at a hook that match an expression."""

    node: str
    hook: Hook
    where: Expression


@dataclass(frozen=True, slots=True)
class RegionChange:
    """Verdict changes by one event, limited to packets that no later event changed."""

    sequence: int
    changes: tuple[VerdictChange, ...]


@dataclass(frozen=True, slots=True)
class UnchangedPackets:
    """Packets of one family that no event changed: number of headers and one example."""

    family: Family
    count: int
    example: Packet


Rulesets = Sequence[tuple[int, Ruleset]]
"""Rulesets of a history from its start on, each with the number of the event that led to it."""


def region_scopes(region: PacketRegion, budget: Budget) -> tuple[PacketScope, ...]:
    """Return the scopes of events that can change these packets' verdicts, one for each family of the expression.

    Raises:
        NoProof: The budget of memory or time is exceeded.
    """
    return tuple(found for family in Family if (found := _family_scope(region, family, budget)))


def _family_scope(region: PacketRegion, family: Family, budget: Budget) -> PacketScope | None:
    library = SymbolicRulesetReader(family)
    atlas = SymbolicContext.of(library, [library.read(Ruleset())], [region.where], budget)
    meant, space = atlas.meant(region.where), atlas.space
    direction, version = DIRECTIONS.get(region.hook), _VERSIONS[family]
    with within_limits():
        if is_false(meant):
            return None
        far: tuple[NumberSpan, ...] = tuple((version, *each) for each in values(space, meant, _FAR[direction]))
        protocols = values(space, meant, "protocol")
        ports = values(space, meant, "dport")
    numbers = frozenset(number for low, high in protocols for number in range(low, high + 1))
    spans: tuple[PortSpan, ...] = tuple((max(low, 0), high) for low, high in ports if high != ABSENT)
    return PacketScope(region.node, direction, far, numbers, spans)


def blame_packet_set(
    rulesets: Rulesets, region: PacketRegion, most: int, budget: Budget
) -> tuple[tuple[RegionChange, ...], tuple[UnchangedPackets, ...]]:
    """Return the last events, at most ``most``, that changed verdicts, latest first; and the unchanged packets.

    Raises:
        NoProof: The budget of memory or time is exceeded.
        WitnessMismatch: The packet simulator disagrees.
    """
    touching = {
        place for family in Family for place in islice(_changing_places(rulesets, region, family, budget), most)
    }
    places = sorted(touching, reverse=True)[:most]
    changes: dict[int, list[VerdictChange]] = {place: [] for place in places}
    rests: list[UnchangedPackets] = []
    for family in Family:
        library = SymbolicRulesetReader(family)
        worlds = {place: _rulesets_around(library, rulesets, place) for place in places}
        all_worlds = [library.read(Ruleset()), *(each for pair in worlds.values() for each in pair)]
        atlas = SymbolicContext.of(library, all_worlds, [region.where], budget)
        rest = atlas.meant(region.where) & _packets_at_hook(atlas, library.read(Ruleset()), region.hook)
        for place in places:
            for change, packets in changes_at_hook(atlas, worlds[place], region.hook, rest):
                changes[place].append(change)
                with within_limits():
                    rest &= ~packets
        shown = example(atlas.space, rest)
        if shown is not None:
            rests.append(UnchangedPackets(family, count(atlas.space, rest), shown.packet))
    told = (RegionChange(rulesets[place][0], tuple(changes[place])) for place in places if changes[place])
    return tuple(told), tuple(rests)


def _changing_places(rulesets: Rulesets, region: PacketRegion, family: Family, budget: Budget) -> Iterator[int]:
    """Yield the indexes of rulesets that treat some packets differently from the previous one, last first."""
    library = SymbolicRulesetReader(family)
    for place in range(len(rulesets) - 1, 0, -1):
        worlds = _rulesets_around(library, rulesets, place)
        if worlds[0].hooks[region.hook] == worlds[1].hooks[region.hook]:
            continue
        atlas = SymbolicContext.of(library, worlds, [region.where], budget)
        if next(changes_at_hook(atlas, worlds, region.hook, atlas.meant(region.where)), None) is not None:
            yield place


def _packets_at_hook(atlas: SymbolicContext, world: SymbolicRuleset, hook: Hook) -> BddFunction:
    """Return all packets at a hook."""
    first, *others = atlas.fates(world, hook).verdicts.values()
    with within_limits():
        for each in others:
            first |= each
    return first


def _rulesets_around(
    library: SymbolicRulesetReader, rulesets: Rulesets, place: int
) -> tuple[SymbolicRuleset, SymbolicRuleset]:
    return library.read(rulesets[place - 1][1]), library.read(rulesets[place][1])
