"""Interfaces of event logs, one per use (read, append, take snapshots, …), so that a caller gets only what it needs.

`EventLog` combines the interfaces of a log; :mod:`adapters.eventlog` implements it. The methods raise `LogError` and
its subclasses, such as `EventsCompacted` for events that a compaction has replaced.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from engine.events import BEGINNING, CompactedBase, Event, EventBody, EventMark, RowFilter, StoredEvent
from engine.events.outcomes import LogCompacted


class LogReader(Protocol):
    """An append-only, hash-chained sequence of events, as it is read.

    Every method raises ``LogUnusable`` where there is no log, but for ``exists``.
    """

    @property
    def name(self) -> str:
        """The log in messages and beside files: its path where it has one."""
        ...

    @property
    def exists(self) -> bool:
        """Whether there is a log; reading needs it, appending makes it."""
        ...

    def last_sequence(self) -> int:
        """Return the sequence of the newest event, 0 where there is none; it is not verified."""
        ...

    def begun(self) -> EventMark:
        """Return the event that the log begins behind."""
        ...

    def base(self, until: int | None = None) -> CompactedBase:
        """Return the state that the log begins with, which `verify_base` compares with the log's record of it.

        Raises:
            EventsCompacted: the sequence ``until`` lies before it.
        """
        ...

    def verify_base(self) -> None:
        """Compare the state that the log begins with to the event that recorded it.

        Raises:
            LogCorrupt: at the last of the compacted events, where no event recorded that state.
        """
        ...

    def read(self, after: int = 0, until: int | None = None) -> Iterator[Event]:
        """Yield the events with ``after < sequence <= until``, oldest first, as of the moment of the first one.

        Raises:
            LogCorrupt: at the first event, from the very first on, that is not as it was appended.
        """
        ...

    def tail(self, after: EventMark) -> Iterator[Event]:
        """Yield the events that follow a known one.

        Raises:
            Compacted: the known event was compacted, and was not the last of those.
            LogCorrupt: at the first event that does not continue the chain.
        """
        ...

    def rows(self, after: int = 0, until: int | None = None, known: EventMark = BEGINNING) -> Iterator[StoredEvent]:
        """Yield the events as they are stored, verified from a known one on; raises as `read` and `tail`."""
        ...

    def some(self, wanted: RowFilter, until: int | None = None) -> Iterator[StoredEvent]:
        """Yield the rows of which type and body are wanted, each verified; of the others only the order.

        Raises:
            LogCorrupt: an event does not follow the one before it, or one that is wanted is not as it was appended.
        """
        ...

    def said(self, row: StoredEvent) -> EventBody:
        """Return the body of a verified row.

        Raises:
            LogCorrupt: it is none of an event.
            LogUnusable: a newer nodewall wrote it.
        """
        ...

    def sequence_at(self, time: datetime) -> int:
        """Return the sequence of the last event that is not later, 0 where there is none; it is not verified.

        The sequence rules: where a clock went back, events before it may bear a later time.
        """
        ...

    def sequence_of(self, known_by: str) -> int:
        """Return the sequence of the event that has an id, 0 where there is none."""
        ...

    def hashes(self, after: int = 0) -> Iterator[bytes]:
        """Yield the hashes of the events behind one, oldest first; they are not verified.

        Of compacted events the last one's is known; each one before it yields no text.
        """
        ...

    def hash_at(self, sequence: int) -> bytes:
        """Return the hash of an event, no text where there is none, or where it was compacted and not the last."""
        ...


class VerifiedLog(LogReader, Protocol):
    """A log that is verified as a whole."""

    def verify(self) -> int:
        """Return the number of events, every one of which is as it was appended.

        Raises:
            LogCorrupt: at the first one that is not, or as `verify_base`.
        """
        ...

    def compactions(self) -> Iterator[tuple[int, LogCompacted]]:
        """Yield the sequence and the body of every event that records the very base that the log begins with.

        Raises:
            LogCorrupt: such an event is not as it was appended.
        """
        ...


class SnapshotStore(Protocol):
    """Snapshots of a log's states by sequence; one that is lost or damaged is computed again."""

    @property
    def name(self) -> str:
        """The store in messages: its folder where it has one."""
        ...

    def sequences(self) -> Sequence[int]:
        """Return the sequences of all snapshots, in any order; none where they cannot be read."""
        ...

    def load(self, sequence: int) -> bytes | None:
        """Return a snapshot, None where there is none or it cannot be read."""
        ...

    def save(self, sequence: int, content: bytes) -> None:
        """Write a snapshot, as a whole or not at all; one that cannot be written is left out."""
        ...

    def remove(self, sequence: int) -> None:
        """Delete a snapshot, if it is there and can be deleted."""
        ...


class SnapshotLog(LogReader, Protocol):
    """A log with snapshots of its states."""

    @property
    def snapshots(self) -> SnapshotStore:
        """The snapshots."""
        ...


class LogWatch(AbstractContextManager["LogWatch"], Protocol):
    """Tells that a log may have new events."""

    @property
    def descriptor(self) -> int:
        """The file descriptor that becomes readable then."""
        ...

    def told(self) -> bool:
        """Return whether the log was written since the last call, as far as is known."""
        ...


class FollowedLog(SnapshotLog, Protocol):
    """A log whose new events are waited for."""

    def attached(self) -> AbstractContextManager[None]:
        """Return a context in which looks at the log cost less; no writer waits for it."""
        ...

    def watch(self) -> LogWatch:
        """Return a watch for new events.

        Raises:
            OSError: the system has none to give; the log has to be asked again and again.
        """
        ...


class LogWriter(Protocol):
    """A log that events are appended to."""

    def last_sequence(self) -> int:
        """Return the sequence of the newest event, 0 where there is none; it is not verified."""
        ...

    def append(
        self, bodies: Sequence[EventBody], *, source: str, expected: int, known_by: str | None = None
    ) -> tuple[Event, ...]:
        """Append all the events or none, if the newest event is still ``expected``; they are on disk on return.

        The first one bears the id ``known_by`` where there is one. If the log has that already, nothing is appended,
        whatever is expected, and the events that were appended then are returned: who cannot know whether an append
        came through can try it again.

        Raises:
            EventTooLarge: an event has too many bytes.
            IdTaken: what was appended under that id says something else.
            LogBusy: another writer held the log for too long.
            LogConflict: the newest event is not ``expected``.
            LogCorrupt: the newest event is damaged.
        """
        ...


class RecordedLog(SnapshotLog, LogWriter, Protocol):
    """A log that one reads to its end and then appends to."""


class LogReplica(VerifiedLog, Protocol):
    """A log that takes the events of another one."""

    def adopt(self, rows: Iterable[StoredEvent], *, expected: int, base: CompactedBase | None = None) -> None:
        """Append events of another log as they are, all or none; raises as `LogWriter.append`.

        Args:
            rows: the events; an error of the iterator leaves the log unchanged and is raised.
            expected: sequence of the newest event of this log.
            base: the base of the other log, only for an empty log.

        Raises:
            LogUnusable: the rows do not follow the newest event.
        """
        ...

    def discard(self) -> None:
        """Delete the log and all that belongs to it."""
        ...


class AuditedLog(SnapshotLog, VerifiedLog, Protocol):
    """A log that is verified as a whole, with snapshots of its states."""


class CompactableLog(AuditedLog, Protocol):
    """A log whose oldest events a state can stand for."""

    def compact(self, base: CompactedBase, body: LogCompacted, *, source: str, expected: int) -> Event:
        """Replace the events up to one by a state, and append the record of it; raises as `LogWriter.append`."""
        ...


class EventLog(FollowedLog, CompactableLog, LogReplica, RecordedLog, Protocol):
    """A log in all its roles; consumers take the least of them that they need."""
