"""In-memory handoff from the recorder (appends cluster changes to the event log) to the agent in the same process.

Input: the cluster state that the recorder computed from the log, and the events that it appends. Output: the same state
and event bodies, for :class:`adapters.eventlog.sources.LogSource`, which takes each of them once. So the agent need not
compute the state or parse the events a second time.

All values are immutable, so threads can share them. The agent reads from the log what is not stored here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.events import Event, EventBody, EventMark
from engine.state.fold import ClusterState

_MOST = 10_000
"""Most event bodies that wait; the oldest are dropped beyond that, and then read from the log."""

VerifiedState = tuple[ClusterState, EventMark]
"""Cluster state folded from a log, and the last event in it."""


@dataclass(slots=True)
class Handoff:
    """Exchange between the recorder and a reader of the same log; each value is taken once."""

    _reached: VerifiedState | None = None
    _bodies: dict[bytes, EventBody] = field(default_factory=dict)

    def offer(self, reached: VerifiedState) -> None:
        """Store a state for the reader to start with."""
        self._reached = reached

    def begin(self) -> VerifiedState | None:
        """Take the stored state, None if there is none."""
        reached, self._reached = self._reached, None
        return reached

    def put(self, events: Iterable[Event]) -> None:
        """Store the bodies of appended events, by their hashes."""
        for event in events:
            self._bodies[event.hash.encode()] = event.body
        while len(self._bodies) > _MOST:
            self._bodies.pop(next(iter(self._bodies)), None)

    def take(self, digest: bytes) -> EventBody | None:
        """Take the body of the event with a hash, None if it is not stored."""
        return self._bodies.pop(digest, None)
