"""The event log in a SQLite file, which chains events by their hashes and never changes one.

The file vouches for itself: what is hashed is the text as it is stored, so a byte that changed in any column is
seen, and SQLite's own count of what was ever inserted shows rows lost at the end. Of events that were compacted a
summary stands at the beginning, whose hash the event that did so names.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar

from pydantic import ValidationError

from adapters.eventlog.rows import NOT_AFTER, StoredEvent, sealed
from adapters.eventlog.sqlite_file import NO_DELETE, EventsCompacted, LogFile, LogUnusable, number, run
from engine.errors import IdTaken, LogConflict, LogCorrupt
from engine.events import GENESIS, Event, EventBody, body_from_json, timestamp
from engine.events.outcomes import LogCompacted
from engine.events.upcasting import FutureVersion
from engine.reconcile.interfaces import Clock, EventLog, Ids

T = TypeVar("T")

_SELECT = "SELECT sequence, time, id, source, type, body, previous, hash FROM events"
_INSERT = "INSERT INTO events (sequence, time, id, source, type, body, previous, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_HASHES = "SELECT hash FROM events WHERE sequence > ? ORDER BY sequence"
_KNOWN = "SELECT sequence FROM events WHERE id = ?"
_SUMMARY = "SELECT sequence, hash, time, state FROM summary"
_MARK = "SELECT sequence, hash FROM summary"

RowFilter = Callable[[bytes, bytes], bool]
"""Whether an event is wanted, by its type and its body as they are stored."""


class EventMark(NamedTuple):
    """An event that is known, by its sequence and its hash."""

    sequence: int
    hash: str


BEGINNING = EventMark(0, GENESIS)


class CompactedBase(NamedTuple):
    """What a log begins with: the last event that was compacted, its time, and the state that all led to, as lines.

    A log that never was compacted begins with nothing.
    """

    mark: EventMark = BEGINNING
    time: str = ""
    state: bytes = b""

    @property
    def digest(self) -> str:
        """The hash of the state's lines."""
        return hashlib.sha256(self.state).hexdigest()

    def bodies(self) -> Iterator[EventBody]:
        """Yield what leads to the state."""
        return map(body_from_json, self.state.splitlines())


@dataclass(frozen=True, slots=True)
class SqliteLog(EventLog):
    """A log in the SQLite file at ``path``; a writer waits up to ``wait`` seconds for another one."""

    path: str
    clock: Clock
    ids: Ids
    wait: float = 5.0

    @property
    def file(self) -> LogFile:
        """The file, whatever is in it."""
        return LogFile(self.path, self.wait)

    @property
    def exists(self) -> bool:
        """Whether there is something at the path; reading needs it, appending makes it."""
        return self.file.exists

    def last_sequence(self) -> int:
        with self.file.reading() as connection, self.file.explained(1):
            return _last(connection)

    def sequence_of(self, known_by: str) -> int:
        """Return the sequence of the event that has an id, 0 where there is none."""
        with self.file.reading() as connection, self.file.explained(1):
            return number(connection, _KNOWN, known_by)

    def begun(self) -> EventMark:
        """Return the event that the log begins behind."""
        with self.file.reading() as connection, self.file.explained(1):
            return _mark(connection)

    def base(self, until: int | None = None) -> CompactedBase:
        """Return what the log begins with; only `verify` looks whether that is what was put on record.

        Raises:
            Compacted: the sequence ``until`` lies before it.
        """
        with self.file.reading() as connection, self.file.explained(1):
            base = _base(connection)
        if until is not None and until < base.mark.sequence:
            raise EventsCompacted(self.path, base.mark.sequence)
        return base

    def read(self, after: int = 0, until: int | None = None) -> Iterator[Event]:
        return (self._read(row, StoredEvent.event) for row in self.rows(after, until))

    def rows(self, after: int = 0, until: int | None = None, known: EventMark = BEGINNING) -> Iterator[StoredEvent]:
        """Yield the events as they are stored; raise as :meth:`read` does, but for bodies that say nothing known.

        What is vouched for is all behind an event that is ``known``, or that the log begins with.
        """
        with self.file.reading() as connection:
            for row in self._rows(connection, until, known):
                if row.sequence > after:
                    yield row

    def some(self, wanted: RowFilter, until: int | None = None) -> Iterator[StoredEvent]:
        """Yield the rows of which type and body are wanted, each vouched for; of all others only that they follow.

        Raises:
            LogCorrupt: an event does not follow the one before it, or one that is wanted is not as it was appended.
        """
        with self.file.reading() as connection:
            yield from self._rows(connection, until, BEGINNING, wanted)

    def said(self, row: StoredEvent) -> EventBody:
        """Return what a row says that is vouched for; raise as :meth:`read` does where that is nothing known."""
        return self._read(row, StoredEvent.said)

    def sequence_at(self, time: datetime) -> int:
        """Return the sequence of the last event that is not later, 0 where there is none; it is not verified.

        The sequence rules: where a clock went back, events before it may bear a later time.
        """
        with self.file.reading() as connection, self.file.explained(1):
            found = number(connection, "SELECT max(sequence) FROM events WHERE time <= ?", timestamp(time))
            base = _base(connection)
            return found or (base.mark.sequence if base.time <= timestamp(time) else 0)

    def hashes(self, after: int = 0) -> Iterator[bytes]:
        """Yield the hashes of the events behind one, oldest first; they are not verified.

        Of events that were compacted that of the last is known, and no text is yielded for those before it.
        """
        with self.file.reading() as connection, self.file.explained(after + 1):
            begun = _mark(connection)
            yield from (b"" for _ in range(after + 1, begun.sequence))
            if after < begun.sequence:
                yield begun.hash.encode()
            for (found,) in connection.execute(_HASHES, (after,)):
                yield found

    def hash_at(self, sequence: int) -> bytes:
        """Return the hash of an event, no text where there is none, or where it was compacted and not the last."""
        return next(self.hashes(sequence - 1), b"") if sequence > 0 else b""

    def adopt(self, rows: Sequence[StoredEvent], *, expected: int) -> None:
        """Append events of another log as they are, if the newest is still ``expected``; raises as `append`."""
        with self.file.writing() as connection, self.file.explained(expected):
            self._expect(connection, expected)
            self._insert(connection, rows)
            connection.execute("COMMIT")

    def begin_with(self, base: CompactedBase) -> None:
        """Have an empty log begin with what another one does.

        Raises:
            LogConflict: it is not empty.
        """
        with self.file.writing() as connection, self.file.explained(0):
            self._expect(connection, 0)
            _set_base(connection, base)
            connection.execute("COMMIT")

    def compact(self, base: CompactedBase, body: LogCompacted, *, source: str, expected: int) -> Event:
        """Have a state stand for the events up to one, and append what says so; raises as `append`."""
        with self.file.writing() as connection, self.file.explained(expected):
            newest = self._expect(connection, expected)
            ((row, event),) = sealed([body], source, newest, self.clock, self.ids)
            connection.execute(_INSERT, row.values)
            connection.execute("DROP TRIGGER no_delete")
            connection.execute("DELETE FROM events WHERE sequence <= ?", (base.mark.sequence,))
            run(connection, NO_DELETE)
            _set_base(connection, base)
            connection.execute("COMMIT")
            with suppress(sqlite3.OperationalError):  # while others read, the room stays with the file for later events
                connection.execute("VACUUM")
        return event

    def tail(self, after: EventMark) -> Iterator[Event]:
        """Yield the events that follow one that is known, which vouches for them.

        Raises:
            LogCorrupt: at the first event that the chain does not vouch for.
        """
        return (self._read(row, StoredEvent.event) for row in self.rows(known=after))

    def verify(self) -> int:
        """Return the number of events, every one of which is as it was appended.

        Raises:
            LogCorrupt: at the first one that is not, or at the last of those that were compacted if what stands for
                them is not what was put on record.
        """
        events = sum(1 for _ in self.rows())
        self.vouch_for_base()
        return events

    def vouch_for_base(self) -> None:
        """Raise ``LogCorrupt`` where what the log begins with is not what was put on record when it was compacted."""
        base = self.base()
        if base.mark != BEGINNING and next(self.compactions(), None) is None:
            raise LogCorrupt(self.path, base.mark.sequence, "what stands for the compacted events is not on record")

    def compactions(self) -> Iterator[tuple[int, LogCompacted]]:
        """Yield the sequence and the body of every event that says of what the log begins with just what is there.

        Raises:
            LogCorrupt: such an event cannot be trusted.
        """
        base = self.base()
        for row in self.some(lambda kind, _: kind == b"log.compacted"):
            body = self.said(row)
            if isinstance(body, LogCompacted) and _records(body, row, base):
                yield row.sequence, body

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
        """Return the events that were appended under an id, none where there is no such event."""
        at = number(connection, _KNOWN, known_by)
        if not at:
            return ()
        found = connection.execute(f"{_SELECT} WHERE sequence >= ? ORDER BY sequence LIMIT ?", (at, len(bodies)))
        events = tuple(self._read(StoredEvent._make(columns), StoredEvent.event) for columns in found)
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
        """Return sequence and hash of the newest event, which has to be the expected one."""
        columns = connection.execute(f"{_SELECT} ORDER BY sequence DESC LIMIT 1").fetchone()
        begun = _mark(connection)
        row = StoredEvent._make(columns) if columns else None
        sequence = row.sequence if row else begun.sequence
        if _highest(connection, begun) != sequence:
            raise LogCorrupt(self.path, sequence + 1, "the event is missing")
        if sequence != expected:
            raise LogConflict(self.path, expected, sequence)
        if row is None:
            return begun
        self._vouch(row, row.previous)
        return sequence, row.hash.decode()

    def _rows(
        self, connection: sqlite3.Connection, until: int | None, known: EventMark, wanted: RowFilter | None = None
    ) -> Iterator[StoredEvent]:
        """Yield the rows that the chain vouches for, behind one that is known."""
        with self.file.explained(1):
            begun = _mark(connection)
        if known != BEGINNING and known.sequence < begun.sequence:
            raise EventsCompacted(self.path, begun.sequence)
        last, mark = max(known, begun)
        previous = mark.encode()
        try:
            for columns in connection.execute(f"{_SELECT} WHERE sequence > ? ORDER BY sequence", (last,)):
                if until is not None and last >= until:
                    return
                sequence, _, _, _, kind, body, follows, own = columns
                if sequence != last + 1:
                    raise LogCorrupt(self.path, last + 1, "the event is missing")
                if wanted is None or wanted(kind, body):
                    row = StoredEvent._make(columns)
                    self._vouch(row, previous)
                    yield row
                elif follows != previous:
                    raise LogCorrupt(self.path, sequence, NOT_AFTER)
                previous, last = own, sequence
            if (until is None or last < until) and _highest(connection, begun) != last:
                raise LogCorrupt(self.path, last + 1, "the event is missing")
        except sqlite3.Error as error:
            raise self.file.error(error, last + 1) from error

    def _vouch(self, row: StoredEvent, previous: bytes) -> None:
        """Raise unless a row is as it was appended, and follows the one with the hash ``previous``."""
        try:
            fault = row.fault(previous)
        except (ValueError, TypeError, AttributeError) as error:
            fault = f"a column does not hold what it should: {error}"
        if fault:
            raise LogCorrupt(self.path, row.sequence, fault)

    def _read(self, row: StoredEvent, how: Callable[[StoredEvent], T]) -> T:
        """Return what a row that is vouched for holds."""
        try:
            return how(row)
        except ValidationError as error:
            problem = str(error.errors()[0]["msg"])
            raise LogCorrupt(self.path, row.sequence, f"its body is not one of an event: {problem}") from None
        except FutureVersion as error:
            raise LogUnusable(self.path, f"event {row.sequence} is {error}") from None
        except (ValueError, TypeError, AttributeError) as error:
            raise LogCorrupt(self.path, row.sequence, f"a column does not hold what it should: {error}") from None


def _records(body: LogCompacted, row: StoredEvent, base: CompactedBase) -> bool:
    """Whether an event stands where it says, and says of a base just what it is."""
    same = (body.until, body.last, body.state) == (base.mark.sequence, base.mark.hash, base.digest)
    in_place = body.after is None or body.after.encode() == row.previous
    return same and in_place and body.time in {None, base.time}


def _base(connection: sqlite3.Connection) -> CompactedBase:
    found = connection.execute(_SUMMARY).fetchone() if _has_summary(connection) else None
    return (
        CompactedBase(EventMark(found[0], found[1].decode()), found[2].decode(), found[3]) if found else CompactedBase()
    )


def _mark(connection: sqlite3.Connection) -> EventMark:
    """Return the event that a log begins behind."""
    found = connection.execute(_MARK).fetchone() if _has_summary(connection) else None
    return EventMark(found[0], found[1].decode()) if found else BEGINNING


def _has_summary(connection: sqlite3.Connection) -> bool:
    return bool(number(connection, "SELECT count(*) FROM sqlite_master WHERE name = 'summary'"))


def _set_base(connection: sqlite3.Connection, base: CompactedBase) -> None:
    connection.execute("DELETE FROM summary")
    values = (*base.mark, base.time, base.state.decode())
    connection.execute("INSERT INTO summary (sequence, hash, time, state) VALUES (?, ?, ?, ?)", values)


def _last(connection: sqlite3.Connection) -> int:
    return number(connection, "SELECT max(sequence) FROM events") or _mark(connection).sequence


def _highest(connection: sqlite3.Connection, begun: EventMark) -> int:
    """Return the highest sequence that there ever was in a log that begins behind an event."""
    return max(number(connection, "SELECT seq FROM sqlite_sequence WHERE name = 'events'"), begun.sequence)
