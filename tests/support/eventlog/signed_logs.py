"""Signed log with its key and checkpoints, which a test can sign, compact, and rewrite as an attacker would."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from adapters import wiring
from adapters.eventlog.checkpoints import keep
from adapters.eventlog.compaction import SignatureCheck, compacted, judged
from adapters.eventlog.signing import PublicKey, Signer
from adapters.eventlog.snapshots import lines_of
from adapters.eventlog.sqlite import SqliteLog
from adapters.system.clock import FixedClock, SystemIds
from engine.events import CompactedBase, EventMark, StoredEvent
from engine.events.outcomes import LogCompacted
from engine.state.fold import fold_bodies
from tests.support.policies.random_histories import history_of, worlds_of

UNTIL = 30
"""An event behind the first policies."""


@dataclass(frozen=True)
class SignedLog:
    """A log with its key and its checkpoints, in a folder."""

    folder: Path
    log: SqliteLog

    @classmethod
    def of(cls, folder: Path, seed: str = "7") -> "SignedLog":
        """Return a log of more than 32 events that is signed at event 4 and at its end."""
        log = SqliteLog(str(folder / "log"), FixedClock(), SystemIds())
        log.append(history_of(worlds_of(seed, 3), seed)[:4], source="test", expected=0)
        wiring.new_key(str(folder / "key"))
        made = cls(folder, log)
        made.sign()
        rest = history_of(worlds_of(seed, 3), seed)[4:]
        log.append(rest, source="test", expected=4)
        made.sign()
        assert log.last_sequence() > UNTIL + 2
        return made

    @property
    def signer(self) -> Signer:
        return wiring.signer(str(self.folder / "key"))

    @property
    def trust(self) -> PublicKey:
        return wiring.trust(str(self.folder / "key.pub"))

    @property
    def checkpoints(self) -> Path:
        return Path(f"{self.log.path}-checkpoints")

    def sign(self) -> None:
        """Keep a checkpoint of the newest event."""
        last = self.log.last_sequence()
        mark = EventMark(last, self.log.hash_at(last).decode())
        keep(str(self.checkpoints), self.signer.checkpoint(mark, FixedClock().now()))

    def compact(self) -> None:
        """Compact the log as this version does."""
        compacted(self.log, UNTIL, self.signer, "test")

    def compact_as_before(self) -> None:
        """Compact the log as before: the record says neither the time nor what it follows."""
        rows = {row.sequence: row for row in self.log.rows()}
        bodies = [row.said() for row in rows.values()][:UNTIL]
        mark = EventMark(UNTIL, rows[UNTIL].hash.decode())
        base = CompactedBase(mark, rows[UNTIL].time.decode(), lines_of(fold_bodies(bodies)))
        body = LogCompacted(until=UNTIL, last=mark.hash, state=base.digest, events=UNTIL)
        self.log.compact(base, self.signer.compaction(body), source="test", expected=len(rows))

    def verified(self) -> SignatureCheck:
        """Verify the log and its signatures, like ``log verify --public-key``."""
        self.log.verify()
        return judged(self.log, self.trust, str(self.checkpoints))

    def summary(self, column: str, value: str) -> None:
        """Change a column of the row that replaces the compacted events."""
        with closing(sqlite3.connect(self.log.path, isolation_level=None)) as connection:
            connection.execute(f"UPDATE summary SET {column} = ?", (value,))  # noqa: S608 - a constant of this test

    def append(self, body: LogCompacted) -> None:
        """Append a record, as anybody can who can write the file."""
        self.log.append([body], source="me", expected=self.log.last_sequence())

    def record(self) -> LogCompacted:
        """Return the first compaction record of the log."""
        return next(event.body for event in self.log.read() if isinstance(event.body, LogCompacted))

    def forged(self) -> LogCompacted:
        """Return an unsigned record that fits the current base of the log."""
        base = self.log.base()
        return LogCompacted(until=base.mark.sequence, last=base.mark.hash, state=base.digest, events=UNTIL)

    def rewrite(self, change: Callable[[StoredEvent], StoredEvent] = lambda row: row, until: int | None = None) -> None:
        """Write the log again up to an event, with correct hashes."""
        base, rows = self.log.base(), list(self.log.rows(until=until))
        self.log.file.discard()
        previous, written = base.mark.hash.encode(), []
        for row in map(change, rows):
            new = row._replace(previous=previous)
            previous = new.digest()
            written.append(new._replace(hash=previous))
        self.log.adopt(written, expected=0, base=base if base.mark.sequence else None)
