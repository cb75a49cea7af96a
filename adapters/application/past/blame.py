"""Blame: finds the events in a log that last changed the verdicts of packets; used by ``nodewall blame``.

Input: the history of a Node (its event log up to an event), and packets or a :class:`PacketRegion` (all packets that
match a filter at a hook). Output: a :class:`Blamed` per packet, with the event and the verdicts before and after it.
For a region, a :class:`BlamedRegion` with the events that changed verdicts in it.

The search reads only events that can affect the packets. For single packets, the complete cluster state then confirms
each verdict. Raises ``WitnessMismatch`` if it gives another verdict, and ``UnknownNode`` for a Node that never existed.
Raises ``LogError`` if the log cannot be read, and ``NoProof`` if the budget for a region is exceeded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from adapters.eventlog.relevant import RelevantEvents, abridged
from adapters.eventlog.snapshots import Snapshots
from engine.desired.incremental import derive
from engine.errors import UnknownNode, WitnessMismatch
from engine.events import Event, EventBody, NodeObserved, StoredEvent
from engine.policy.relevance import PacketScope
from engine.reconcile.log_interfaces import SnapshotLog
from engine.state.fold import ClusterState, effect_of
from engine.state.object_diff import ObjectDiff, diff_of_event
from simulator.analysis.blame import BlameResult, blame_history, packet_scope, rulesets
from simulator.analysis.blame_regions import (
    PacketRegion,
    RegionChange,
    UnchangedPackets,
    blame_packet_set,
    region_scopes,
)
from simulator.netfilter import Evaluation, Walker
from simulator.packets import Packet
from simulator.symbolic import Budget


@dataclass(slots=True)
class NodeHistory:
    """History of a node up to the sequence ``until`` (None: all events), with a cache of the events that were read."""

    log: SnapshotLog
    node: str
    until: int | None
    _rows: dict[int, StoredEvent] = field(default_factory=dict)
    _seen: bool = False

    def about(self, concerns: Sequence[PacketScope]) -> tuple[Iterator[tuple[int, EventBody]], ClusterState]:
        """Return the events that can affect packets of these scopes, each with its sequence; and the log's first state.

        The events are read while the iterator advances.
        """
        found = abridged(self.log, concerns, self.until)
        self._seen = self.node in found.start.nodes
        return self._events(found), found.start

    def _events(self, found: RelevantEvents) -> Iterator[tuple[int, EventBody]]:
        for row, body in found.events:
            self._rows[row.sequence] = row
            self._seen |= isinstance(body, NodeObserved) and body.node.metadata.name == self.node
            yield row.sequence, body

    def event(self, sequence: int) -> Event:
        """Return an event that `about` has read."""
        return self._rows[sequence].event()

    def state(self, until: int | None) -> ClusterState:
        """Return the complete state after a sequence."""
        return Snapshots(self.log).reached(until)[0]

    def checked(self) -> ClusterState:
        """Return the last state.

        Raises:
            UnknownNode: no event that was read and no first state has the node.
        """
        state = self.state(self.until)
        if not self._seen:
            raise UnknownNode(self.node, tuple(sorted(state.nodes)))
        return state

    def edited(self, sequence: int) -> ObjectDiff | None:
        """Return the changes that an event made to its object."""
        return diff_of_event(effect_of(self.state(sequence - 1), self.event(sequence).body))

    def confirmed(self, answer: Evaluation, state: ClusterState) -> Evaluation:
        """Judge the packet of an answer again with the complete state, and return that answer.

        Raises:
            WitnessMismatch: the partial state gave another verdict.
        """
        whole = Walker(derive(state, self.node).ruleset).verdict(answer.packet)
        if whole.verdict is not answer.verdict:
            raise WitnessMismatch(answer.packet.words, answer.verdict.value, whole.verdict.value)
        return whole


@dataclass(frozen=True, slots=True)
class Blamed:
    """Answer for a packet, with the last event that changed its verdict; ``event`` is None if no event did.

    ``change`` holds the changes that the event made to its object. ``before`` is the answer before the event, and
    ``earlier`` the event that led to that previous verdict, if any.
    """

    answer: Evaluation
    event: Event | None = None
    change: ObjectDiff | None = None
    before: Evaluation | None = None
    earlier: Event | None = None

    @classmethod
    def of(cls, past: NodeHistory, fate: BlameResult, state: ClusterState) -> Self:
        """Return the result for one packet with its events, confirmed with complete states."""
        answer = past.confirmed(fate.answer, state)
        if fate.last is None:
            return cls(answer)
        event, state = past.event(fate.last.sequence), past.state(fate.last.sequence - 1)
        before = past.confirmed(fate.last.before, state)
        earlier = past.event(fate.earlier.sequence) if fate.earlier else None
        return cls(answer, event, diff_of_event(effect_of(state, event.body)), before, earlier)


@dataclass(frozen=True, slots=True)
class BlamedRegion:
    """Events that changed the verdicts of a region, and the packets whose verdicts none of them changed."""

    past: NodeHistory
    shifts: Sequence[RegionChange]
    rests: Sequence[UnchangedPackets]

    def events(self) -> Iterator[tuple[RegionChange, Event, ObjectDiff | None]]:
        """Yield the verdict changes of each event, with the event and the changes of its object."""
        for shift in self.shifts:
            yield shift, self.past.event(shift.sequence), self.past.edited(shift.sequence)


def blame_packets(past: NodeHistory, packets: Sequence[Packet]) -> Iterator[Blamed]:
    """Yield the result for each packet, in order.

    Raises:
        UnknownNode: the node never existed.
        LogError: the log cannot be read or verified.
        WitnessMismatch: the complete state gives another verdict than the partial state.
    """
    history, start = past.about([packet_scope(packet, past.node) for packet in packets])
    found = blame_history(history, past.node, packets, start)
    state = past.checked()
    for fate in found:
        yield Blamed.of(past, fate, state)


def blame_region(past: NodeHistory, region: PacketRegion, limit: int, allowed: Budget) -> BlamedRegion:
    """Return the last events, at most ``limit``, that changed the verdicts of packets of a region.

    Raises:
        UnknownNode: the node never existed.
        LogError: the log cannot be read or verified.
        NoProof: the budget is exceeded.
    """
    history, start = past.about(region_scopes(region, allowed))
    known = list(rulesets(history, past.node, start))
    past.checked()
    return BlamedRegion(past, *blame_packet_set(known, region, limit, allowed))
