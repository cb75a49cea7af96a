"""Which events of a history made the fates of a set of packets what they are, each the last that changed its packets.

It is asked backwards: what an event changed is taken from the set, and the events before it are asked about the rest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from engine.policy.completed_rules import Direction
from engine.policy.relevance import NumberSpan, PacketScope, PortSpan
from engine.rulesets.model import Family, Hook, Ruleset
from simulator.analysis.blame import DIRECTIONS
from simulator.analysis.compare import VerdictChange, moved
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
    """Packets of a node at a hook, as an expression means them."""

    node: str
    hook: Hook
    where: Expression


@dataclass(frozen=True, slots=True)
class RegionChange:
    """What an event changed of those packets of a set that no later one changed."""

    sequence: int
    changes: tuple[VerdictChange, ...]


@dataclass(frozen=True, slots=True)
class UnchangedPackets:
    """Packets of a set, by family, that none of the events told of changed: how many headers, and one of them."""

    family: Family
    count: int
    example: Packet


Rulesets = Sequence[tuple[int, Ruleset]]
"""From the start on, each with the event that made it so."""


def concerns_of(region: PacketRegion, budget: Budget) -> tuple[PacketScope, ...]:
    """Return what the fates of packets can hang on, by family; none of a family that the expression does not mean.

    Raises:
        NoProof: memory or time did not do.
    """
    return tuple(found for family in Family if (found := _concern(region, family, budget)))


def _concern(region: PacketRegion, family: Family, budget: Budget) -> PacketScope | None:
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


def shifts(
    rulesets: Rulesets, region: PacketRegion, most: int, budget: Budget
) -> tuple[tuple[RegionChange, ...], tuple[UnchangedPackets, ...]]:
    """Return the last events, at most so many, that changed the fate of packets, latest first, and what is left.

    Raises:
        NoProof: memory or time did not do.
        Unconfirmed: the simulator of single packets does not agree.
    """
    touching = {place for family in Family for place in islice(_touching(rulesets, region, family, budget), most)}
    places = sorted(touching, reverse=True)[:most]
    changes: dict[int, list[VerdictChange]] = {place: [] for place in places}
    rests: list[UnchangedPackets] = []
    for family in Family:
        library = SymbolicRulesetReader(family)
        worlds = {place: _around(library, rulesets, place) for place in places}
        all_worlds = [library.read(Ruleset()), *(each for pair in worlds.values() for each in pair)]
        atlas = SymbolicContext.of(library, all_worlds, [region.where], budget)
        rest = atlas.meant(region.where) & _all(atlas, library.read(Ruleset()), region.hook)
        for place in places:
            for change, packets in moved(atlas, worlds[place], region.hook, rest):
                changes[place].append(change)
                with within_limits():
                    rest &= ~packets
        shown = example(atlas.space, rest)
        if shown is not None:
            rests.append(UnchangedPackets(family, count(atlas.space, rest), shown.packet))
    told = (RegionChange(rulesets[place][0], tuple(changes[place])) for place in places if changes[place])
    return tuple(told), tuple(rests)


def _touching(rulesets: Rulesets, region: PacketRegion, family: Family, budget: Budget) -> Iterator[int]:
    """Yield the places of rulesets, the last first, that treat some of the packets otherwise than the one before."""
    library = SymbolicRulesetReader(family)
    for place in range(len(rulesets) - 1, 0, -1):
        worlds = _around(library, rulesets, place)
        if worlds[0].hooks[region.hook] == worlds[1].hooks[region.hook]:
            continue
        atlas = SymbolicContext.of(library, worlds, [region.where], budget)
        if next(moved(atlas, worlds, region.hook, atlas.meant(region.where)), None) is not None:
            yield place


def _all(atlas: SymbolicContext, world: SymbolicRuleset, hook: Hook) -> BddFunction:
    """Return all packets that there are at a hook."""
    first, *others = atlas.fates(world, hook).verdicts.values()
    with within_limits():
        for each in others:
            first |= each
    return first


def _around(library: SymbolicRulesetReader, rulesets: Rulesets, place: int) -> tuple[SymbolicRuleset, SymbolicRuleset]:
    return library.read(rulesets[place - 1][1]), library.read(rulesets[place][1])
