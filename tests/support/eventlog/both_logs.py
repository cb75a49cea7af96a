"""Logs of both kinds, in memory and in SQLite, with predictable events, and ways to damage their rows."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from tempfile import TemporaryDirectory

from adapters.eventlog.in_memory import MemoryLog
from adapters.eventlog.sqlite import SqliteLog
from adapters.system.clock import CountedIds, FixedClock
from engine.events import (
    Event,
    EventBody,
    StoredEvent,
    deletion_of,
)
from engine.events.outcomes import ApplyFailed
from engine.reconcile.log_interfaces import EventLog

ID = "0192f0c1-2345-7678-9abc-def012345678"
KINDS = ("memory", "sqlite")


@contextmanager
def empty(kind: str) -> Iterator[EventLog]:
    """Yield a log that does not exist yet, with predictable times and ids."""
    with TemporaryDirectory() as folder:
        yield (
            MemoryLog(FixedClock(), CountedIds())
            if kind == "memory"
            else SqliteLog(f"{folder}/log", FixedClock(), CountedIds())
        )


def body(number: int) -> EventBody:
    """Return the body of an event; every third one is an outcome."""
    return deletion_of("Node", f"n{number}") if number % 3 else ApplyFailed(node=f"n{number}", wanted=1, words="no")


def filled(log: EventLog, count: int = 5) -> tuple[Event, ...]:
    """Append events, at most two at a time, and return them."""
    events: tuple[Event, ...] = ()
    while len(events) < count:
        some = [body(len(events) + number) for number in range(min(2, count - len(events)))]
        events += log.append(some, source="tést", expected=len(events))
    return events


def tamper(log: EventLog, sequence: int, column: str, text: str) -> None:
    """Change a column of a stored event without the log's methods."""
    if isinstance(log, MemoryLog):
        at = next(at for at, row in enumerate(log.stored) if row.sequence == sequence)
        log.stored[at] = StoredEvent._make(
            text.encode() if name == column else old for name, old in log.stored[at]._asdict().items()
        )
        return
    with closing(sqlite3.connect(log.name, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER no_update")
        statement = f"UPDATE events SET {column} = ? WHERE sequence = ?"  # noqa: S608 - a name of this test
        connection.execute(statement, (text, sequence))


def lose(log: EventLog, sequence: int) -> None:
    """Delete a stored event without the log's methods."""
    if isinstance(log, MemoryLog):
        log.stored = [row for row in log.stored if row.sequence != sequence]
        return
    with closing(sqlite3.connect(log.name, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER no_delete")
        connection.execute("DELETE FROM events WHERE sequence = ?", (sequence,))
