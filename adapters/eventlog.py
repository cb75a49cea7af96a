"""The event log in a SQLite file, which chains events by their hashes and never changes one.

The file vouches for itself: what is hashed is the text as it is stored, so a byte that changed in any column is
seen, and SQLite's own count of what was ever inserted shows rows lost at the end.

Sources: https://sqlite.org/wal.html , https://sqlite.org/fileformat2.html and proc_locks(5).
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from adapters.logrows import NOT_AFTER, Row, sealed
from adapters.process import command_line
from engine.errors import LogBusy, LogConflict, LogCorrupt, LogError, shown
from engine.events import GENESIS, Event, EventBody, timestamp
from engine.ports import Clock, EventLog, Ids

T = TypeVar("T")

_APPLICATION = 0x6E77_6C67  # "nwlg"
_VERSION = 1
_SCHEMA = """
CREATE TABLE events (
    -- AUTOINCREMENT: sqlite_sequence then remembers the highest sequence ever, even if its row is lost.
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    time TEXT NOT NULL, id TEXT NOT NULL, source TEXT NOT NULL, type TEXT NOT NULL,
    body TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;
CREATE TRIGGER no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER in_order BEFORE INSERT ON events
WHEN NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM events)
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
"""
_SELECT = "SELECT sequence, time, id, source, type, body, previous, hash FROM events"
_INSERT = "INSERT INTO events (sequence, time, id, source, type, body, previous, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_HASHES = "SELECT hash FROM events WHERE sequence > ? ORDER BY sequence"
_HIGHEST = "SELECT seq FROM sqlite_sequence WHERE name = 'events'"

_WRITER_BYTE = 120
"""The byte of the ``-shm`` file that a writer locks (walformat, section 2.3.1)."""

_ROOM = 1 << 16
"""Bytes on a disk that side files need at least; the index of a log's newest part alone takes half of that."""


@dataclass(eq=False)
class LogUnusable(LogError):
    """The log cannot be opened at all: it is not there, not a log, too new, or not accessible."""

    path: str
    reason: str

    def __str__(self) -> str:
        """Say why."""
        return f"{self.path}: {self.reason}"


Wanted = Callable[[bytes, bytes], bool]
"""Whether an event is wanted, by its type and its body as they are stored."""


class Mark(NamedTuple):
    """An event that is known, by its sequence and its hash."""

    sequence: int
    hash: str


BEGINNING = Mark(0, GENESIS)


@dataclass(frozen=True, slots=True)
class SqliteLog(EventLog):
    """A log in the SQLite file at ``path``; a writer waits up to ``wait`` seconds for another one."""

    path: str
    clock: Clock
    ids: Ids
    wait: float = 5.0

    @property
    def exists(self) -> bool:
        """Whether there is something at the path; reading needs it, appending makes it."""
        return Path(self.path).exists()

    def discard(self) -> None:
        """Take away a log that is not to be, with all that belongs to it."""
        for path in (self.path, f"{self.path}-wal", f"{self.path}-shm"):
            Path(path).unlink(missing_ok=True)

    def last_sequence(self) -> int:
        with self._reading() as connection, self._explained(1):
            return _last(connection)

    def read(self, after: int = 0, until: int | None = None) -> Iterator[Event]:
        return (self._read(row, Row.event) for row in self.rows(after, until))

    def rows(self, after: int = 0, until: int | None = None, known: Mark = BEGINNING) -> Iterator[Row]:
        """Yield the events as they are stored; raise as :meth:`read` does, but for bodies that say nothing known.

        What is vouched for is all behind an event that is ``known``.
        """
        with self._reading() as connection:
            for row in self._rows(connection, until, known):
                if row.sequence > after:
                    yield row

    def some(self, wanted: Wanted, until: int | None = None) -> Iterator[Row]:
        """Yield the rows of which type and body are wanted, each vouched for; of all others only that they follow.

        Raises:
            LogCorrupt: an event does not follow the one before it, or one that is wanted is not as it was appended.
        """
        with self._reading() as connection:
            yield from self._rows(connection, until, BEGINNING, wanted)

    def said(self, row: Row) -> EventBody:
        """Return what a row says that is vouched for; raise as :meth:`read` does where that is nothing known."""
        return self._read(row, Row.said)

    def sequence_at(self, time: datetime) -> int:
        """Return the sequence of the last event that is not later, 0 where there is none; it is not verified.

        The sequence rules: where a clock went back, events before it may bear a later time.
        """
        with self._reading() as connection, self._explained(1):
            return _number(connection, "SELECT max(sequence) FROM events WHERE time <= ?", timestamp(time))

    def hashes(self, after: int = 0) -> Iterator[bytes]:
        """Yield the hashes of the events behind one, oldest first; they are not verified."""
        with self._reading() as connection, self._explained(after + 1):
            for (found,) in connection.execute(_HASHES, (after,)):
                yield found

    def adopt(self, rows: Sequence[Row], *, expected: int) -> None:
        """Append events of another log as they are, if the newest is still ``expected``; raises as `append`."""
        with self._writing() as connection, self._explained(expected):
            self._expect(connection, expected)
            connection.executemany(_INSERT, [row.values for row in rows])
            connection.execute("COMMIT")

    def tail(self, after: Mark) -> Iterator[Event]:
        """Yield the events that follow one that is known, which vouches for them.

        Raises:
            LogCorrupt: at the first event that the chain does not vouch for.
        """
        return (self._read(row, Row.event) for row in self.rows(known=after))

    def verify(self) -> int:
        """Return the number of events, every one of which is as it was appended.

        Raises:
            LogCorrupt: at the first one that is not.
        """
        return sum(1 for _ in self.rows())

    def append(self, bodies: Sequence[EventBody], *, source: str, expected: int) -> tuple[Event, ...]:
        with self._writing() as connection, self._explained(expected):
            newest = self._expect(connection, expected)
            new = tuple(sealed(bodies, source, newest, self.clock, self.ids))
            connection.executemany(_INSERT, (row.values for row, _ in new))
            connection.execute("COMMIT")
            return tuple(event for _, event in new)

    def _expect(self, connection: sqlite3.Connection, expected: int) -> tuple[int, str]:
        """Return sequence and hash of the newest event, which has to be the expected one."""
        columns = connection.execute(f"{_SELECT} ORDER BY sequence DESC LIMIT 1").fetchone()
        row = Row._make(columns) if columns else None
        sequence = row.sequence if row else 0
        if _highest(connection) != sequence:
            raise LogCorrupt(self.path, sequence + 1, "the event is missing")
        if sequence != expected:
            raise LogConflict(self.path, expected, sequence)
        if row is None:
            return 0, GENESIS
        self._vouch(row, row.previous)
        return sequence, row.hash.decode()

    def _rows(
        self, connection: sqlite3.Connection, until: int | None, known: Mark, wanted: Wanted | None = None
    ) -> Iterator[Row]:
        """Yield the rows that the chain vouches for, behind one that is known."""
        last, previous = known.sequence, known.hash.encode()
        try:
            for columns in connection.execute(f"{_SELECT} WHERE sequence > ? ORDER BY sequence", (last,)):
                if last == until:
                    return
                sequence, _, _, _, kind, body, follows, mark = columns
                if sequence != last + 1:
                    raise LogCorrupt(self.path, last + 1, "the event is missing")
                if wanted is None or wanted(kind, body):
                    row = Row._make(columns)
                    self._vouch(row, previous)
                    yield row
                elif follows != previous:
                    raise LogCorrupt(self.path, sequence, NOT_AFTER)
                previous, last = mark, sequence
            if last != until and _highest(connection) != last:
                raise LogCorrupt(self.path, last + 1, "the event is missing")
        except sqlite3.Error as error:
            raise self._error(error, last + 1) from error

    def _vouch(self, row: Row, previous: bytes) -> None:
        """Raise unless a row is as it was appended, and follows the one with the hash ``previous``."""
        try:
            fault = row.fault(previous)
        except (ValueError, TypeError, AttributeError) as error:
            fault = f"a column does not hold what it should: {error}"
        if fault:
            raise LogCorrupt(self.path, row.sequence, fault)

    def _read(self, row: Row, how: Callable[[Row], T]) -> T:
        """Return what a row that is vouched for holds."""
        try:
            return how(row)
        except ValidationError as error:
            problem = str(error.errors()[0]["msg"])
            raise LogCorrupt(self.path, row.sequence, f"its body is not one of an event: {problem}") from None
        except (ValueError, TypeError, AttributeError) as error:
            raise LogCorrupt(self.path, row.sequence, f"a column does not hold what it should: {error}") from None

    @contextmanager
    def _explained(self, sequence: int) -> Iterator[None]:
        """Turn what SQLite says while event ``sequence`` is looked at into errors of the log."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._error(error, sequence) from error

    def _error(self, error: sqlite3.Error, sequence: int) -> LogError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        match code:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return LogBusy(self.path, self.wait, holder(self.path))
            case sqlite3.SQLITE_NOTADB:
                return LogUnusable(self.path, "not an event log")
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_ERROR | sqlite3.SQLITE_MISMATCH:
                return LogCorrupt(self.path, sequence, str(error))
            case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR if self._is_full():
                return LogUnusable(self.path, "the disk is full")
            case _:
                return LogUnusable(self.path, str(error))

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that sees one moment of the log and can change nothing."""
        if not self.exists:
            raise LogUnusable(self.path, "no such log")
        with self._explained(1):
            connection = self._connected("mode=ro&immutable=1" if self._sealed_off() else "mode=ro")
        with closing(connection):
            with self._explained(1):
                connection.execute("BEGIN")
                self._checked(connection)
            yield connection

    def _sealed_off(self) -> bool:
        """Whether SQLite has no side files and could make none: the log is on a read-only medium or a full disk."""
        side_files = (Path(f"{self.path}-wal"), Path(f"{self.path}-shm"))
        closed = not os.access(Path(self.path).absolute().parent, os.W_OK) or self._is_full()
        return closed and not any(f.exists() for f in side_files)

    def _is_full(self) -> bool:
        disk = os.statvfs(Path(self.path).absolute().parent)
        return disk.f_bfree * disk.f_frsize < _ROOM

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that holds the log for writing; what is not committed is undone."""
        self._made()
        with self._explained(1), closing(self._connected("mode=rw")) as connection:
            # A file of another kind must be refused before anything is changed in it.
            if not _blank(connection):
                self._checked(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            if _blank(connection):
                for statement in _statements(_SCHEMA):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            self._checked(connection)
            yield connection

    def _made(self) -> None:
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except (OSError, ValueError) as error:
            raise LogUnusable(self.path, getattr(error, "strerror", None) or str(error)) from None

    def _connected(self, how: str) -> sqlite3.Connection:
        address = f"file:{quote(str(Path(self.path).absolute()))}?{how}"
        connection = sqlite3.connect(address, timeout=self.wait, isolation_level=None, uri=True)
        connection.text_factory = bytes
        return connection

    def _checked(self, connection: sqlite3.Connection) -> None:
        if _number(connection, "PRAGMA application_id") != _APPLICATION:
            raise LogUnusable(self.path, "not an event log")
        version = _number(connection, "PRAGMA user_version")
        if version != _VERSION:
            problem = f"the log has format {version}, this nodewall knows {_VERSION}; use a newer nodewall"
            raise LogUnusable(self.path, problem)


def holder(path: str) -> str:
    """Return who holds the log at ``path`` for writing, in words, as far as the kernel tells."""
    try:
        inode = Path(f"{path}-shm").stat().st_ino
        locks = Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return "another process"
    for line in locks:
        # "1: POSIX ADVISORY WRITE 4711 fe:00:1234 120 120"; those that wait have an arrow after the number.
        match line.split():
            case [_, "POSIX", _, "WRITE", pid, file, start, _] if file.rpartition(":")[2] == str(
                inode
            ) and start == str(_WRITER_BYTE):
                return _process(int(pid))
            case _:
                continue
    return "another process"


def _process(pid: int) -> str:
    if pid <= 0:  # of another PID namespace
        return "another process"
    if pid == os.getpid():
        return f"process {pid}, this one"
    words = command_line(pid)
    return f"process {pid} ({shown(words)})" if words else f"process {pid}"


def _number(connection: sqlite3.Connection, query: str, *values: str) -> int:
    row = connection.execute(query, values).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def _last(connection: sqlite3.Connection) -> int:
    return _number(connection, "SELECT max(sequence) FROM events")


def _highest(connection: sqlite3.Connection) -> int:
    return _number(connection, _HIGHEST)


def _blank(connection: sqlite3.Connection) -> bool:
    return _number(connection, "PRAGMA schema_version") == 0 and _number(connection, "PRAGMA page_count") <= 1


def _statements(script: str) -> Iterator[str]:
    """Yield the statements one by one: ``executescript`` would first commit the transaction."""
    statement = ""
    for line in script.splitlines():
        statement += f"{line}\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
