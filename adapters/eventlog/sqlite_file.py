"""SQLite file of an event log: its schema, connections, format upgrades and errors; used by the SQLite event log.

Input: a path. Output: connections to read or to write, on which :mod:`adapters.eventlog.sqlite` runs its queries.

Converts SQLite's errors: ``LogBusy`` names the process that holds the write lock, ``LogCorrupt`` names an event,
``LogUnusable`` any other reason. Sources: https://sqlite.org/wal.html, https://sqlite.org/fileformat2.html,
proc_locks(5).
"""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG
from urllib.parse import quote

from adapters.system.process import command_line
from engine.errors import LogBusy, LogCorrupt, LogError, LogUnusable, safe_text

_APPLICATION = 0x6E77_6C67  # "nwlg"
_VERSION = 2
_SCHEMA = """
CREATE TABLE events (
    -- AUTOINCREMENT: sqlite_sequence then remembers the highest sequence ever, even if its row is lost.
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    time TEXT NOT NULL, id TEXT NOT NULL, source TEXT NOT NULL, type TEXT NOT NULL,
    body TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;
CREATE TRIGGER no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
"""
NO_DELETE = """
CREATE TRIGGER no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
"""
_IN_ORDER = """
CREATE TRIGGER in_order BEFORE INSERT ON events
WHEN NEW.sequence <> coalesce((SELECT max(sequence) FROM events), (SELECT max(sequence) FROM summary), 0) + 1
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
"""
_IN_ORDER_1 = """
CREATE TRIGGER in_order BEFORE INSERT ON events
WHEN NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM events)
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
"""
"""The trigger of format 1."""
_SINCE_1 = """
CREATE UNIQUE INDEX ids ON events (id);
-- What stands for the events that were compacted: the last one's sequence, hash and time, and the state they led to.
CREATE TABLE summary (
    sequence INTEGER PRIMARY KEY, hash TEXT NOT NULL, time TEXT NOT NULL, state TEXT NOT NULL
) STRICT;
"""
"""Parts of the schema that format 2 added."""

_TWICE = "SELECT max(sequence), min(sequence) FROM events GROUP BY id HAVING count(*) > 1 ORDER BY 1 LIMIT 1"

_WRITER_BYTE = 120
"""The byte of the ``-shm`` file that a writer locks (walformat, section 2.3.1)."""

_PAGE = 4096
"""Bytes of a database page; a file of one page or less holds no events."""

_ROOM = 1 << 16
"""Least free bytes on disk for SQLite's side files; the WAL index alone takes half of that."""


@dataclass(frozen=True, slots=True)
class LogFile:
    """SQLite file at ``path``; a writer waits up to ``wait`` seconds for another writer."""

    path: str
    wait: float = 5.0

    @property
    def exists(self) -> bool:
        """Whether there is a log, or any other file, at the path; the blank file of a failed append does not count."""
        try:
            found = Path(self.path).stat()
            if found.st_size > _PAGE or not S_ISREG(found.st_mode):
                return True
            # A log without a committed transaction does not exist yet, whatever files the writer has made.
            with closing(self._connected("mode=ro")) as connection:
                return not _blank(connection)
        except FileNotFoundError:
            return False
        except (OSError, ValueError, sqlite3.Error):
            return True  # reading it will give the exact error

    def discard(self) -> None:
        """Delete the log file and SQLite's side files."""
        for path in (self.path, f"{self.path}-wal", f"{self.path}-shm"):
            Path(path).unlink(missing_ok=True)

    @contextmanager
    def explained(self, sequence: int) -> Iterator[None]:
        """Translate SQLite errors in the block into log errors that name the event ``sequence``."""
        try:
            yield
        except sqlite3.Error as error:
            raise self.error(error, sequence) from error

    def error(self, error: sqlite3.Error, sequence: int) -> LogError:
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
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Open a read-only connection in one transaction; raise ``LogUnusable`` if there is no log."""
        if not self.exists:
            raise LogUnusable(self.path, "no such log")
        self._check_regular()
        with self._opened() as connection:
            with self.explained(1):
                connection.execute("BEGIN")
                self._checked(connection)
            yield connection

    def _check_regular(self) -> None:
        """Raise ``LogUnusable`` for a FIFO or a device, which SQLite would wait for or read without end."""
        with suppress(OSError, ValueError):  # opening it gives the exact error
            if not S_ISREG(Path(self.path).stat().st_mode):
                raise LogUnusable(self.path, "not a regular file")

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with self.explained(1):
            connection = self._connected("mode=ro&immutable=1" if self._sealed_off() else "mode=ro")
        with closing(connection):
            yield connection

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Keep SQLite's side files open, which are otherwise made and deleted with each read of an unused log.

        No transaction is held, so writers are not blocked.
        """
        with self._opened() as connection:
            with self.explained(1):
                self._checked(connection)
            yield

    def _sealed_off(self) -> bool:
        """Whether side files are missing and cannot be made, as on a read-only or full disk."""
        side_files = (Path(f"{self.path}-wal"), Path(f"{self.path}-shm"))
        closed = not os.access(Path(self.path).absolute().parent, os.W_OK) or self._is_full()
        return closed and not any(f.exists() for f in side_files)

    def _is_full(self) -> bool:
        disk = os.statvfs(Path(self.path).absolute().parent)
        return disk.f_bfree * disk.f_frsize < _ROOM

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Open a connection with the write lock, and create or upgrade the log; uncommitted changes are rolled back."""
        self._made()
        self._check_regular()
        with self.explained(1), closing(self._connected("mode=rw")) as connection:
            # Refuse a file of another kind before changing anything in it.
            if not _blank(connection):
                self._checked(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            if _blank(connection):
                run(connection, _SCHEMA, NO_DELETE, _SINCE_1, _IN_ORDER)
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            elif self._checked(connection) == 1:
                self._renewed(connection)
            yield connection

    def _renewed(self, connection: sqlite3.Connection) -> None:
        """Upgrade a log from format 1 to the current format; its events stay unchanged."""
        twice = connection.execute(_TWICE).fetchone()
        if twice:
            raise LogCorrupt(self.path, twice[0], f"its id is that of event {twice[1]}")
        run(connection, _SINCE_1, "DROP TRIGGER in_order;", _IN_ORDER)
        connection.execute(f"PRAGMA user_version = {_VERSION}")

    def _made(self) -> None:
        """Create the file with mode 0600 unless it exists.

        An existing file is not opened here: closing it would drop all locks of this process on it, including those of
        SQLite (https://sqlite.org/howtocorrupt.html, 2.2).
        """
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return
        except (OSError, ValueError) as error:
            raise LogUnusable(self.path, getattr(error, "strerror", None) or str(error)) from None

    def _connected(self, how: str) -> sqlite3.Connection:
        address = f"file:{quote(str(Path(self.path).absolute()))}?{how}"
        try:
            connection = sqlite3.connect(address, timeout=self.wait, isolation_level=None, uri=True)
        except ValueError:  # a path with a NUL character
            raise LogUnusable(safe_text(self.path), "no such log") from None
        connection.text_factory = bytes
        connection.execute("PRAGMA trusted_schema = OFF")
        return connection

    def _checked(self, connection: sqlite3.Connection) -> int:
        """Return the format of the log; raise ``LogUnusable`` if the file is no log or its format is too new."""
        if number(connection, "PRAGMA application_id") != _APPLICATION:
            raise LogUnusable(self.path, "not an event log")
        version = number(connection, "PRAGMA user_version")
        if not 1 <= version <= _VERSION:
            problem = f"the log has format {version}, this nodewall knows {_VERSION}; use a newer nodewall"
            raise LogUnusable(self.path, problem)
        for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master"):
            if _words_of(sql) not in _known_statements():
                # A view, a trigger or an index of somebody else can answer two queries about one event differently.
                what = safe_text(f"{_text_of(kind)} {_text_of(name)}")
                raise LogCorrupt(self.path, 1, f"the file has a {what} that is not part of an event log")
        return version


@lru_cache(maxsize=1)
def _known_statements() -> frozenset[str]:
    """Return the statements of the schemas of all formats, as `_words_of` gives them."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        run(connection, _SCHEMA, NO_DELETE, _SINCE_1, _IN_ORDER)
        known = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master")]
        run(connection, "DROP TRIGGER in_order;", _IN_ORDER_1)
        known += [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master")]
    return frozenset(_words_of(sql) for sql in known)


def _words_of(sql: object) -> str:
    """Return a statement without its comments and with single spaces."""
    return " ".join(re.sub(r"--[^\n]*", "", _text_of(sql)).split())


def _text_of(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def holder(path: str) -> str:
    """Describe the process that holds the write lock of the log at ``path``, from /proc/locks."""
    try:
        inode = Path(f"{path}-shm").stat().st_ino
        locks = Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return "another process"
    for line in locks:
        # "1: POSIX ADVISORY WRITE 4711 fe:00:1234 120 120"; waiting locks have an arrow after the number.
        match line.split():
            case [_, "POSIX", _, "WRITE", pid, file, start, _] if file.rpartition(":")[2] == str(
                inode
            ) and start == str(_WRITER_BYTE):
                return _process(int(pid))
            case _:
                continue
    return "another process"


def _process(pid: int) -> str:
    if pid <= 0:  # the process is in another PID namespace
        return "another process"
    if pid == os.getpid():
        return f"process {pid}, this one"
    words = command_line(pid)
    return f"process {pid} ({safe_text(words)})" if words else f"process {pid}"


def number(connection: sqlite3.Connection, query: str, *values: str) -> int:
    """Return the number that a query yields, 0 if it yields none."""
    row = connection.execute(query, values).fetchone()
    found = row[0] if row and row[0] is not None else 0
    if not isinstance(found, int):
        raise sqlite3.DatabaseError(f"found {safe_text(repr(found)[:40])} in place of a number")
    return found


def _blank(connection: sqlite3.Connection) -> bool:
    return number(connection, "PRAGMA schema_version") == 0 and number(connection, "PRAGMA page_count") <= 1


def run(connection: sqlite3.Connection, *scripts: str) -> None:
    """Run the statements of scripts one by one: ``executescript`` would first commit the transaction."""
    statement = ""
    for line in "".join(scripts).splitlines():
        statement += f"{line}\n"
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
