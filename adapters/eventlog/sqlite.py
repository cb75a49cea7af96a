"""SQLite event log: an append-only table of events that are chained by their hashes.

Implements :class:`engine.reconcile.log_interfaces.EventLog`. The hash covers the stored text of every column, so that a
changed byte is detected. SQLite's own counter (``sqlite_sequence``) reveals rows that were lost at the end. After a
compaction, the table ``summary`` holds the cluster state that replaces the deleted events.

Raises ``LogCorrupt`` for a broken hash chain, ``LogConflict`` if the log grew since it was read, and ``LogBusy`` if
another writer holds it. Raises ``IdTaken`` for a repeated event id, ``EventsCompacted`` for events that were deleted,
and ``LogUnusable`` for any other fault of the file.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from adapters.eventlog.chain import MISSING, ChainedLog, HashChain, parsed, verify_row
from adapters.eventlog.rows import sealed
from adapters.eventlog.snapshot_store import FolderSnapshots
from adapters.eventlog.sqlite_file import NO_DELETE, LogFile, number, run
from adapters.system.inotify import FileWatch
from engine.errors import EventsCompacted, IdTaken, LogConflict, LogCorrupt
from engine.events import BEGINNING, CompactedBase, Event, EventBody, EventMark, RowFilter, StoredEvent, timestamp
from engine.events.outcomes import LogCompacted
from engine.reconcile.interfaces import Clock, Ids

_SELECT = "SELECT sequence, time, id, source, type, body, previous, hash FROM events"
_INSERT = "INSERT INTO events (sequence, time, id, source, type, body, previous, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_HASHES = "SELECT hash FROM events WHERE sequence > ? ORDER BY sequence"
_KNOWN = "SELECT sequence FROM events WHERE id = ?"
_SUMMARY = "SELECT sequence, hash, time, state FROM summary"
_MARK = "SELECT sequence, hash FROM summary"

_GROUP = 10_000
"""Rows that `SqliteLog.adopt` holds in memory at a time."""


@dataclass(frozen=True, slots=True)
class SqliteLog(ChainedLog):
    """Log in the SQLite file at ``path``; a writer waits up to ``wait`` seconds for another writer."""

    path: str
    clock: Clock
    ids: Ids
    wait: float = 5.0

    @property
    def file(self) -> LogFile:
        """The SQLite file of the log."""
        return LogFile(self.path, self.wait)

    @property
    def name(self) -> str:
        """The path of the log file."""
        return self.path

    @property
    def exists(self) -> bool:
        """Whether there is a log, or any other non-empty file, at the path."""
        return self.file.exists

    @property
    def snapshots(self) -> FolderSnapshots:
        """The snapshots, in the folder ``PATH-states``."""
        return FolderSnapshots(Path(f"{self.path}-states"))

    def last_sequence(self) -> int:
        with self.file.reading() as connection, self.file.explained(1):
            return _last(connection)

    def sequence_of(self, known_by: str) -> int:
        with self.file.reading() as connection, self.file.explained(1):
            return number(connection, _KNOWN, known_by)

    def begun(self) -> EventMark:
        with self.file.reading() as connection, self.file.explained(1):
            return _mark(connection)

    def base(self, until: int | None = None) -> CompactedBase:
        with self.file.reading() as connection, self.file.explained(1):
            base = _base(connection)
        if until is not None and until < base.mark.sequence:
            raise EventsCompacted(self.path, base.mark.sequence)
        return base

    def rows(self, after: int = 0, until: int | None = None, known: EventMark = BEGINNING) -> Iterator[StoredEvent]:
        with self.file.reading() as connection:
            for row in self._rows(connection, until, known):
                if row.sequence > after:
                    yield row

    def some(self, wanted: RowFilter, until: int | None = None) -> Iterator[StoredEvent]:
        with self.file.reading() as connection:
            yield from self._rows(connection, until, BEGINNING, wanted)

    def sequence_at(self, time: datetime) -> int:
        with self.file.reading() as connection, self.file.explained(1):
            found = number(connection, "SELECT max(sequence) FROM events WHERE time <= ?", timestamp(time))
            base = _base(connection)
            return found or (base.mark.sequence if base.time <= timestamp(time) else 0)

    def hashes(self, after: int = 0) -> Iterator[bytes]:
        with self.file.reading() as connection, self.file.explained(after + 1):
            begun = _mark(connection)
            yield from (b"" for _ in range(after + 1, begun.sequence))
            if after < begun.sequence:
                yield begun.hash.encode()
            for (found,) in connection.execute(_HASHES, (after,)):
                yield found

    def attached(self) -> AbstractContextManager[None]:
        return self.file.attached()

    def watch(self) -> FileWatch:
        return FileWatch(self.path)

    def discard(self) -> None:
        self.file.discard()

    def adopt(self, rows: Iterable[StoredEvent], *, expected: int, base: CompactedBase | None = None) -> None:
        stream = iter(rows)
        with self.file.writing() as connection, self.file.explained(expected):
            self._expect(connection, expected)
            if base is not None:
                _set_base(connection, base)
            while group := list(islice(stream, _GROUP)):
                self._insert(connection, group)
            connection.execute("COMMIT")

    def compact(self, base: CompactedBase, body: LogCompacted, *, source: str, expected: int) -> Event:
        with self.file.writing() as connection, self.file.explained(expected):
            newest = self._expect(connection, expected)
            ((row, event),) = sealed([body], source, newest, self.clock, self.ids)
            connection.execute(_INSERT, row.values)
            connection.execute("DROP TRIGGER no_delete")
            connection.execute("DELETE FROM events WHERE sequence <= ?", (base.mark.sequence,))
            run(connection, NO_DELETE)
            _set_base(connection, base)
            connection.execute("COMMIT")
            with suppress(sqlite3.OperationalError):  # while others read, the file keeps its free space
                connection.execute("VACUUM")
        return event

    def append(
        self, bodies: Sequence[EventBody], *, source: str, expected: int, known_by: str | None = None
    ) -> tuple[Event, ...]:
        with self.file.writing() as connection, self.file.explained(expected):
            if known_by is not None and (there := self._known(connection, bodies, known_by)):
                return there
            newest = self._expect(connection, expected)
            new = tuple(sealed(bodies, source, newest, self.clock, self.ids, known_by))
            self._insert(connection, [row for row, _ in new])
            connection.execute("COMMIT")
            return tuple(event for _, event in new)

    def _known(self, connection: sqlite3.Connection, bodies: Sequence[EventBody], known_by: str) -> tuple[Event, ...]:
        """Return the events that an earlier append stored under an id, none if there was no such append."""
        at = number(connection, _KNOWN, known_by)
        if not at:
            return ()
        found = connection.execute(f"{_SELECT} WHERE sequence >= ? ORDER BY sequence LIMIT ?", (at, len(bodies)))
        events = tuple(parsed(StoredEvent._make(columns), StoredEvent.event, self.path) for columns in found)
        if tuple(event.body for event in events) != tuple(bodies):
            raise IdTaken(self.path, known_by, at)
        return events

    def _insert(self, connection: sqlite3.Connection, rows: Sequence[StoredEvent]) -> None:
        try:
            connection.executemany(_INSERT, (row.values for row in rows))
        except sqlite3.IntegrityError:
            seen: dict[str, int] = {}
            for row in rows:
                found = row.id.decode()
                at = seen.get(found) or number(connection, _KNOWN, found)
                if at and at != row.sequence:
                    raise IdTaken(self.path, found, at) from None
                seen[found] = row.sequence
            raise

    def _expect(self, connection: sqlite3.Connection, expected: int) -> tuple[int, str]:
        """Return sequence and hash of the newest event; raise ``LogConflict`` if it is not the expected one."""
        columns = connection.execute(f"{_SELECT} ORDER BY sequence DESC LIMIT 1").fetchone()
        begun = _mark(connection)
        row = StoredEvent._make(columns) if columns else None
        sequence = row.sequence if row else begun.sequence
        if _highest(connection, begun) != sequence:
            raise LogCorrupt(self.path, sequence + 1, MISSING)
        if sequence != expected:
            raise LogConflict(self.path, expected, sequence)
        if row is None:
            return begun
        verify_row(row, row.previous, self.path)
        return sequence, row.hash.decode()

    def _rows(
        self, connection: sqlite3.Connection, until: int | None, known: EventMark, wanted: RowFilter | None = None
    ) -> Iterator[StoredEvent]:
        """Yield the verified rows after a known event."""
        with self.file.explained(1):
            begun = _mark(connection)
        chain = HashChain.behind(known, begun, self.path)
        try:
            stored = connection.execute(f"{_SELECT} WHERE sequence > ? ORDER BY sequence", (chain.last,))
            yield from chain.rows(stored, until, wanted)
            chain.end(until, lambda: _highest(connection, begun))
        except sqlite3.Error as error:
            raise self.file.error(error, chain.last + 1) from error


def _base(connection: sqlite3.Connection) -> CompactedBase:
    found = connection.execute(_SUMMARY).fetchone() if _has_summary(connection) else None
    return (
        CompactedBase(EventMark(*_of_summary(*found[:2])), _word(found[2]), _bytes(found[3]))
        if found
        else CompactedBase()
    )


def _of_summary(sequence: object, last: object) -> tuple[int, str]:
    if not isinstance(sequence, int):
        raise _damaged_summary()
    return sequence, _word(last)


def _word(value: object) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError:
        raise _damaged_summary() from None


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise _damaged_summary()
    return value


def _damaged_summary() -> sqlite3.DatabaseError:
    return sqlite3.DatabaseError("what stands for the compacted events is damaged")


def _mark(connection: sqlite3.Connection) -> EventMark:
    """Return the last compacted event, ``BEGINNING`` if none was compacted."""
    found = connection.execute(_MARK).fetchone() if _has_summary(connection) else None
    return EventMark(*_of_summary(*found)) if found else BEGINNING


def _has_summary(connection: sqlite3.Connection) -> bool:
    return bool(number(connection, "SELECT count(*) FROM sqlite_master WHERE name = 'summary'"))


def _set_base(connection: sqlite3.Connection, base: CompactedBase) -> None:
    connection.execute("DELETE FROM summary")
    values = (*base.mark, base.time, base.state.decode())
    connection.execute("INSERT INTO summary (sequence, hash, time, state) VALUES (?, ?, ?, ?)", values)


def _last(connection: sqlite3.Connection) -> int:
    return number(connection, "SELECT max(sequence) FROM events") or _mark(connection).sequence


def _highest(connection: sqlite3.Connection, begun: EventMark) -> int:
    """Return the highest sequence that the log ever assigned, also if its row is gone."""
    return max(number(connection, "SELECT seq FROM sqlite_sequence WHERE name = 'events'"), begun.sequence)
