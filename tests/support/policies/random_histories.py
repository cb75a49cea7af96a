"""Random histories over the whole policy language: events that turn one random cluster into the next."""

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
    """Return the clusters of a history, in order; some occur more than once."""
    dice = seeded(f"{seed} history")
    return tuple(drawn(f"{seed} {dice.randrange(count)}") for _ in range(count))


def history_of(worlds: Sequence[World], seed: str) -> list[EventBody]:
    """Return all events, outcomes included, that lead from the empty state through the clusters."""
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
    """Return the events that lead to a cluster.

    If they are refused in the current state, all objects except the new cluster's Nodes are deleted first.
    """
    objects = [(item, None) for item in world.objects]
    try:
        return list(events_for(state, objects, mode))
    except Refused:
        gone = list(events_for(state, [pair for pair in objects if pair[0].kind == "Node"], SubmitMode.SYNC))
        return [*gone, *events_for(fold_bodies(gone, state), objects)]


def packets_about(worlds: Sequence[World], count: int) -> list[Packet]:
    """Return packets aimed at the values in each of the clusters."""
    return [packet for world in worlds for packet in packets_of(world, count)]
