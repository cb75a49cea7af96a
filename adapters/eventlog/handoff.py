"""What one part of a process knows of a log and another need not find out again: a state, and bodies of new events.

Both are values that never change, so that several threads may have the same ones; else each would have its own copy of
a whole cluster.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.events import Event, EventBody, EventMark
from engine.state.fold import ClusterState

_MOST = 10_000
"""Events that may wait until they are read."""

VerifiedState = tuple[ClusterState, EventMark]
"""A state of a log as it is on record, and the event that it is after."""


@dataclass(slots=True)
class Handoff:
    """Lies between who records what happens and who follows that; each thing in it is taken once."""

    _reached: VerifiedState | None = None
    _bodies: dict[bytes, EventBody] = field(default_factory=dict)

    def offer(self, reached: VerifiedState) -> None:
        """Have a state taken by who begins to follow."""
        self._reached = reached

    def begin(self) -> VerifiedState | None:
        """Return the state that was offered, None where there was none."""
        reached, self._reached = self._reached, None
        return reached

    def put(self, events: Iterable[Event]) -> None:
        """Have events that were appended taken by who reads them."""
        for event in events:
            self._bodies[event.hash.encode()] = event.body
        while len(self._bodies) > _MOST:
            self._bodies.pop(next(iter(self._bodies)), None)

    def take(self, digest: bytes) -> EventBody | None:
        """Return what the event of a hash says, None where it was not put here."""
        return self._bodies.pop(digest, None)
