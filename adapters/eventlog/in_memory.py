"""Event log in memory, for tests; it implements :class:`engine.reconcile.log_interfaces.EventLog`.

It verifies, compacts and refuses as :mod:`adapters.eventlog.sqlite` does, and loses its events when the process ends.
Input: event bodies to append. Output: verified events and rows.

Raises ``LogError`` and its subclasses. The method ``watch`` raises ``OSError``, because no file can be watched.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime

from adapters.eventlog.chain import MISSING, ChainedLog, HashChain, parsed, verify_row
from adapters.eventlog.rows import sealed
from adapters.eventlog.snapshot_store import MemorySnapshots
from engine.errors import EventsCompacted, IdTaken, LogConflict, LogCorrupt, LogUnusable
from engine.events import BEGINNING, CompactedBase, Event, EventBody, EventMark, RowFilter, StoredEvent, timestamp
from engine.events.outcomes import LogCompacted
from engine.reconcile.interfaces import Clock, Ids
from engine.reconcile.log_interfaces import LogWatch


@dataclass(slots=True)
class MemoryLog(ChainedLog):
    """Log in memory; ``stored`` holds its rows, ``highest`` the highest sequence that it ever assigned."""

    clock: Clock
    ids: Ids
    name: str = "memory"
    exists: bool = False
    snapshots: MemorySnapshots = field(default_factory=MemorySnapshots)
    stored: list[StoredEvent] = field(default_factory=list)
    highest: int = 0
    beginning: CompactedBase = field(default_factory=CompactedBase)

    def last_sequence(self) -> int:
        rows = self._there()
        return rows[-1].sequence if rows else self.beginning.mark.sequence

    def begun(self) -> EventMark:
        self._there()
        return self.beginning.mark

    def base(self, until: int | None = None) -> CompactedBase:
        self._there()
        if until is not None and until < self.beginning.mark.sequence:
            raise EventsCompacted(self.name, self.beginning.mark.sequence)
        return self.beginning

    def rows(self, after: int = 0, until: int | None = None, known: EventMark = BEGINNING) -> Iterator[StoredEvent]:
        for row in self._verified(until, known):
            if row.sequence > after:
                yield row

    def some(self, wanted: RowFilter, until: int | None = None) -> Iterator[StoredEvent]:
        return self._verified(until, BEGINNING, wanted)

    def sequence_at(self, time: datetime) -> int:
        text = timestamp(time)
        found = [row.sequence for row in self._there() if row.time <= text.encode()]
        return max(found, default=self.beginning.mark.sequence if self.beginning.time <= text else 0)

    def sequence_of(self, known_by: str) -> int:
        return next((row.sequence for row in self._there() if row.id == known_by.encode()), 0)

    def hashes(self, after: int = 0) -> Iterator[bytes]:
        rows, begun = tuple(self._there()), self.beginning.mark
        yield from (b"" for _ in range(after + 1, begun.sequence))
        if after < begun.sequence:
            yield begun.hash.encode()
        yield from (row.hash for row in rows if row.sequence > after)

    def attached(self) -> AbstractContextManager[None]:
        return nullcontext()

    def watch(self) -> LogWatch:
        raise OSError("a log in memory has no watch")

    def append(
        self, bodies: Sequence[EventBody], *, source: str, expected: int, known_by: str | None = None
    ) -> tuple[Event, ...]:
        if known_by is not None and (there := self._known(bodies, known_by)):
            return there
        newest = self._expect(expected)
        new = tuple(sealed(bodies, source, newest, self.clock, self.ids, known_by))
        self._insert([row for row, _ in new])
        return tuple(event for _, event in new)

    def adopt(self, rows: Iterable[StoredEvent], *, expected: int, base: CompactedBase | None = None) -> None:
        last, _ = self._expect(expected)
        new = list(rows)
        first = (last if base is None else base.mark.sequence) + 1
        if [row.sequence for row in new] != list(range(first, first + len(new))):
            raise LogUnusable(self.name, "the log is append-only")
        self._insert(new)
        if base is not None:
            self.beginning, self.highest = base, max(self.highest, base.mark.sequence)

    def discard(self) -> None:
        self.exists, self.beginning, self.highest = False, CompactedBase(), 0
        self.stored.clear()

    def compact(self, base: CompactedBase, body: LogCompacted, *, source: str, expected: int) -> Event:
        newest = self._expect(expected)
        ((row, event),) = sealed([body], source, newest, self.clock, self.ids)
        self._insert([row])
        self.stored = [each for each in self.stored if each.sequence > base.mark.sequence]
        self.beginning = base
        return event

    def _there(self) -> list[StoredEvent]:
        if not self.exists:
            raise LogUnusable(self.name, "no such log")
        return self.stored

    def _verified(self, until: int | None, known: EventMark, wanted: RowFilter | None = None) -> Iterator[StoredEvent]:
        """Yield the verified rows after a known event, from a copy of the present rows."""
        rows, highest = self._there(), self.highest
        chain = HashChain.behind(known, self.beginning.mark, self.name)
        yield from chain.rows([row for row in rows if row.sequence > chain.last], until, wanted)
        chain.end(until, lambda: highest)

    def _known(self, bodies: Sequence[EventBody], known_by: str) -> tuple[Event, ...]:
        """Return the events that an earlier append stored under an id, none if there was no such append."""
        at = self.sequence_of(known_by) if self.exists else 0
        if not at:
            return ()
        rows = [row for row in self.stored if row.sequence >= at][: len(bodies)]
        events = tuple(parsed(row, StoredEvent.event, self.name) for row in rows)
        if tuple(event.body for event in events) != tuple(bodies):
            raise IdTaken(self.name, known_by, at)
        return events

    def _expect(self, expected: int) -> tuple[int, str]:
        """Return sequence and hash of the newest event; raise ``LogConflict`` if it is not the expected one."""
        newest = self.stored[-1] if self.stored else None
        sequence = newest.sequence if newest else self.beginning.mark.sequence
        if self.highest != sequence:
            raise LogCorrupt(self.name, sequence + 1, MISSING)
        if sequence != expected:
            raise LogConflict(self.name, expected, sequence)
        if newest is None:
            return self.beginning.mark
        verify_row(newest, newest.previous, self.name)
        return sequence, newest.hash.decode()

    def _insert(self, rows: Sequence[StoredEvent]) -> None:
        """Append rows that follow the newest one; raise ``IdTaken`` for an id that the log already has."""
        seen = {row.id: row.sequence for row in self.stored}
        for row in rows:
            if row.id in seen:
                raise IdTaken(self.name, row.id.decode(), seen[row.id])
            seen[row.id] = row.sequence
        self.exists = True
        self.stored.extend(rows)
        self.highest = max([self.highest, *(row.sequence for row in rows)])
