"""On whole ways through a node, under random rulesets, the kernel does to packets what the simulator says.

Each ruleset is drawn from its seed alone (`tests.support.rulesets.random_rulesets`); packets aim at the edges of its matches, begin
connections, answer as those before arrived, and are followed through every hook, with NAT, marks, sets and what rules
remember.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine.rulesets.model import Family, Hook
from simulator.conntrack import ConnectionTracker
from simulator.netfilter import Evaluation, Verdict, Walker
from simulator.packets import from_wire
from simulator.traversal import arrive, send
from tests.support.kernel.kernel_traversal import (
    ETH0,
    ETH1,
    HOST,
    NOWHERE,
    Crossing,
    Seen,
    Shot,
    loaded,
    seen_as,
    shot_of,
)
from tests.support.kernel.rule_traces import Step
from tests.support.packets.packet_drafts import Dice, Draft, answers, drawn, error_about, numbers
from tests.support.packets.ruleset_edge_packets import aimed
from tests.support.rulesets.random_rulesets import Author, World
from tests.support.rulesets.ruleset_builders import SOAK
from tests.support.seeds import seeded

pytestmark = pytest.mark.kernel

WORLDS = 800 if SOAK else 25
"""Rulesets of each backend and family: 100 in all, 3,200 in soak."""

ROUNDS = 3
LEAST = WORLDS * 320
"""Packets that there are at least in each combination: over 32,000 in all, over a million in soak."""


Past = list[tuple[Draft, Evaluation]]
"""What was fired so far in a world, and what became of it."""


def drafts_of(dice: Dice, aims: list[Draft], past: Past, family: Family) -> list[Draft]:
    """Draw the packets of a round: a share of those that are aimed, new ones, repeated ones, and what answers others."""
    through = [(draft, answer) for draft, answer in past if answer.verdict is Verdict.ACCEPT]
    drafts = [*aims, *(drawn(dice, family) for _ in range(12))]
    if through:
        reactions = (reaction(dice, *dice.choice(through)) for _ in range(len(drafts) // 2))
        drafts += [draft for draft in reactions if draft is not None]
    dice.shuffle(drafts)
    return drafts


def reaction(dice: Dice, draft: Draft, answer: Evaluation) -> Draft | None:
    """Return a packet that follows one which got through: the same again, an answer, or an error about it."""
    how = dice.random()
    if how < 0.25:
        return draft
    return error_about(dice, answer.left) if how < 0.4 else answers(dice, answer.left)


def simulated(walker: Walker, tracker: ConnectionTracker, shot: Shot, port: int | None) -> Evaluation:
    """Return what the simulator says of a shot, told the port that the kernel drew, should it have to draw one."""
    tracker.draw = lambda low, _count, _own: low if port is None else port
    if shot.hook is Hook.OUTPUT:
        packet = from_wire(shot.data)
        return send(
            walker, tracker, replace(packet, mark=shot.mark, out_interface=HOST.route_interface(packet.dst) or ETH0)
        )
    return arrive(walker, tracker, from_wire(shot.data, in_interface=shot.interface, mac="02:00:00:00:00:02"))


def visible(answer: Evaluation) -> Seen:
    """Return what the oracle sees of an answer."""
    if answer.verdict is Verdict.ACCEPT:
        return seen_as("input" if answer.hook is Hook.INPUT else answer.left.out_interface, answer.left)
    if answer.verdict is Verdict.REJECT and refuses(answer):
        return ("refused", *NOWHERE[1:])
    return NOWHERE


def refuses(answer: Evaluation) -> bool:
    """Whether REJECT answers: never an RST by an RST, of ICMP only what asks or informs, and only where that can go."""
    packet, left = answer.packet, answer.left
    if not HOST.can_send(left.dst, left.src):
        return False
    if answer.reject_with == "tcp-reset":
        return "RST" not in packet.flags
    if packet.icmp is None:
        return True
    return packet.icmp[0] in {0, 8, *range(13, 19)} if packet.family is Family.IPV4 else 128 <= packet.icmp[0] != 137


def steps_of(answer: Evaluation) -> list[Step]:
    """Return the rules that matched, as the kernel tells them."""
    return [(step.table, step.comment) for step in answer.trace]


def complaint(world: World, shot: Shot, answer: Evaluation, did: Seen, path: list[Step] | None) -> str:
    """Return all that is needed to see a mismatch again."""
    says = [
        f"world {world.seed!r}: {shot.hook} {shot.interface} {from_wire(shot.data).words} wire={shot.data.hex()}",
        f"kernel did:     {did}",
        f"simulator says: {visible(answer)} {answer.verdict} at {answer.hook} by {answer.decided_by}",
        f"kernel's path:  {path}",
        f"simulator's:    {steps_of(answer)}",
        f"left: {answer.left}",
        f"assumed: {answer.assumptions}",
    ]
    return "\n".join([*says, world.rules, world.sets])


def rounds(rig: Crossing, world: World, backend: str, number: Iterator[int]) -> Iterator[str]:
    """Fire all rounds of a world; yield where each packet got to, once the simulator has said the same."""
    walker, rules = loaded(rig, world, backend)
    tracker, dice, past = ConnectionTracker(HOST), seeded(world.seed), Past()
    aims = aimed(dice, rules, world.family)
    for start in range(ROUNDS):
        drafts = drafts_of(dice, aims[start::ROUNDS], past, world.family)
        shots = [shot_of(draft, next(number)) for draft in drafts]
        for draft, shot, followed in zip(drafts, shots, rig.follow(shots), strict=True):
            did, path = followed.did, followed.path
            answer = simulated(walker, tracker, shot, followed.port)
            assert visible(answer) == did, complaint(world, shot, answer, did, path)
            assert path is None or steps_of(answer) == path, complaint(world, shot, answer, did, path)
            past.append((draft, answer))
            yield did[0]


@pytest.mark.usefixtures("kernel")
def test_the_kernel_does_what_the_simulator_says(backend: str, family: Family) -> None:
    """Under random rulesets packets get where the simulator says, rewritten as it says, by the rules that it names."""
    outcomes, number = Counter[str](), numbers()
    with Crossing(traced=backend == "nft") as rig:
        for place in range(WORLDS):
            outcomes.update(rounds(rig, Author(f"{backend} {family} {place}", family).world(), backend, number))

    assert outcomes.total() >= LEAST
    assert min(outcomes[where] for where in ("", "input", "refused", ETH0, ETH1)) > outcomes.total() // 100
