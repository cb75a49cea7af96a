"""SQLite event logs with given events, valid or damaged."""

import sqlite3
from collections.abc import Sequence

from adapters.eventlog.sqlite import SqliteLog
from adapters.system.clock import CountedIds, FixedClock
from engine.events import EventBody
from engine.reconcile.log_interfaces import SnapshotLog


def log_of(folder: str, bodies: Sequence[EventBody], name: str = "log") -> SqliteLog:
    """Return a new log with these events."""
    log = SqliteLog(f"{folder}/{name}", FixedClock(), CountedIds())
    log.append(bodies, source="test", expected=0)
    return log


def damage(log: SnapshotLog, sequence: int) -> None:
    """Change an event in the database, which breaks the hash chain."""
    connection = sqlite3.connect(log.name)
    connection.execute("DROP TRIGGER no_update")
    connection.execute("UPDATE events SET source = 'me' WHERE sequence = ?", (sequence,))
    connection.commit()
    connection.close()
