"""An event log in memory, which lives as long as the process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from adapters.eventlog.rows import sealed
from engine.errors import IdTaken, LogConflict, LogCorrupt
from engine.events import GENESIS, Event, EventBody, chained
from engine.reconcile.interfaces import Clock, EventLog, Ids


@dataclass(slots=True)
class MemoryLog(EventLog):
    """A log that lives as long as the process."""

    clock: Clock
    ids: Ids
    events: list[Event] = field(default_factory=list)

    def last_sequence(self) -> int:
        return len(self.events)

    def read(self, after: int = 0, until: int | None = None) -> Iterator[Event]:
        previous = GENESIS
        for sequence, event in enumerate(tuple(self.events), start=1):
            if until is not None and sequence > until:
                return
            reason = chained(previous, event) if event.sequence == sequence else "events are missing"
            if reason:
                raise LogCorrupt("memory", sequence, reason)
            previous = event.hash
            if sequence > after:
                yield event

    def append(
        self, bodies: Sequence[EventBody], *, source: str, expected: int, known_by: str | None = None
    ) -> tuple[Event, ...]:
        at = next((event.sequence for event in self.events if event.id == known_by), 0)
        if known_by is not None and at:
            there = tuple(self.events[at - 1 : at - 1 + len(bodies)])
            if tuple(event.body for event in there) != tuple(bodies):
                raise IdTaken("memory", known_by, at)
            return there
        if expected != len(self.events):
            raise LogConflict("memory", expected, len(self.events))
        previous = self.events[-1].hash if self.events else GENESIS
        new = tuple(event for _, event in sealed(bodies, source, (expected, previous), self.clock, self.ids, known_by))
        self.events.extend(new)
        return new
