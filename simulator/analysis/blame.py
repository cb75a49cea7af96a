"""Blame for single packets: finds the last two events (changes of the cluster) that changed a packet's verdict.

Input: the events in order, the name of a node, and packets. Output: a `BlameResult` per packet, with the verdicts
before and after each of the two events.

`blame_history` compiles the node's ruleset after each event that changes it, and evaluates the packets with each
ruleset. `packet_scope` tells which events can matter, so a caller may omit the others.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from engine.desired.incremental import Derivation, derive
from engine.events import EventBody
from engine.policy.completed_rules import Direction
from engine.policy.relevance import PacketScope, address_span
from engine.rulesets.model import Hook, Ruleset
from engine.state.fold import ClusterState
from simulator.netfilter import Evaluation, Walker
from simulator.netfilter.walker import hook_of
from simulator.packets import Packet

EMPTY_STATE = ClusterState()
"""Start state of a complete history."""

DIRECTIONS = {Hook.INPUT: Direction.INGRESS, Hook.OUTPUT: Direction.EGRESS}


@dataclass(frozen=True, slots=True)
class VerdictEvent:
    """Event number with a packet's evaluation before and after the event."""

    sequence: int
    before: Evaluation
    after: Evaluation


@dataclass(slots=True)
class BlameResult:
    """Current evaluation of a packet, and the last two events that changed its verdict, the later one first."""

    answer: Evaluation
    last: VerdictEvent | None = None
    earlier: VerdictEvent | None = None

    def see(self, sequence: int, answer: Evaluation) -> None:
        """Record the packet's evaluation after an event."""
        if answer.verdict is not self.answer.verdict:
            self.last, self.earlier = VerdictEvent(sequence, self.answer, answer), self.last
        self.answer = answer


def packet_scope(packet: Packet, node: str) -> PacketScope:
    """Return the scope of events that can change the packet's verdict on a node."""
    direction = DIRECTIONS.get(hook_of(packet))
    far = packet.dst if direction is Direction.EGRESS else packet.src
    ports = None if packet.dport is None else ((packet.dport, packet.dport),)
    return PacketScope(node, direction, (address_span(far),), frozenset({packet.protocol}), ports)


def rulesets(
    history: Iterable[tuple[int, EventBody]], node: str, start: ClusterState = EMPTY_STATE
) -> Iterator[tuple[int, Ruleset]]:
    """Yield the desired ruleset of a node at the start, and after each event that changes it."""
    now: Derivation = derive(start, node)
    yield start.sequence, now.ruleset
    for sequence, body in history:
        before, now = now, now.after(body)
        if now.ruleset is not before.ruleset and now.ruleset != before.ruleset:
            yield sequence, now.ruleset


def blame_history(
    history: Iterable[tuple[int, EventBody]], node: str, packets: Sequence[Packet], start: ClusterState = EMPTY_STATE
) -> tuple[BlameResult, ...]:
    """Evaluate packets over a history; return one result per packet.

    The history may omit events outside the scope of these packets.
    """
    found: list[BlameResult] = []
    for sequence, ruleset in rulesets(history, node, start):
        walker = Walker(ruleset)
        answers = [walker.verdict(packet) for packet in packets]
        found = found or [BlameResult(answer) for answer in answers]
        for fate, answer in zip(found, answers, strict=True):
            fate.see(sequence, answer)
    return tuple(found)
