"""Random histories over the whole policy language: one drawn cluster becomes another, and another, event by event."""

from collections.abc import Sequence

from engine.errors import Refused
from engine.events import ConfigDeclared, EventBody
from engine.events.outcomes import ApplyFailed
from engine.state.admission import SubmitMode, events_for
from engine.state.fold import ClusterState, evolve, fold_bodies
from simulator.packets import Packet
from tests.support.packets.edge_packets import packets_of
from tests.support.policies.random_clusters import NODE, World, drawn
from tests.support.seeds import seeded


def worlds_of(seed: str, count: int = 4) -> tuple[World, ...]:
    """The clusters that a history leads through; some of them come again."""
    dice = seeded(f"{seed} history")
    return tuple(drawn(f"{seed} {dice.randrange(count)}") for _ in range(count))


def history_of(worlds: Sequence[World], seed: str) -> list[EventBody]:
    """Every event that leads from nothing through the clusters, each of which is sound; outcomes and all."""
    dice, state, bodies = seeded(f"{seed} events"), ClusterState(), list[EventBody]()
    for world in worlds:
        mode = dice.choice((SubmitMode.SYNC, SubmitMode.SYNC, SubmitMode.DECLARE))
        news = [*_towards(state, world, mode), world.host]
        if dice.random() < 0.5:
            news.append(ConfigDeclared(config=world.config))
        if dice.random() < 0.5:
            news.insert(dice.randrange(len(news)), ApplyFailed(node=NODE, wanted=1, words="no"))
        for body in news:
            state = evolve(state, body)
            bodies.append(body)
    return bodies


def _towards(state: ClusterState, world: World, mode: SubmitMode) -> list[EventBody]:
    """What leads to a cluster; where it cannot follow on the one before, all of that goes first."""
    objects = [(item, None) for item in world.objects]
    try:
        return list(events_for(state, objects, mode))
    except Refused:
        gone = list(events_for(state, [pair for pair in objects if pair[0].kind == "Node"], SubmitMode.SYNC))
        return [*gone, *events_for(fold_bodies(gone, state), objects)]


def packets_about(worlds: Sequence[World], count: int) -> list[Packet]:
    """Packets aimed at what any of the clusters says."""
    return [packet for world in worlds for packet in packets_of(world, count)]
