"""Verifies the hash chain of an event log during a read, and has the base class of all event logs.

In the chain, each event holds the hash of the event before it. Input: stored rows in the order of their sequence
numbers. Output: verified :class:`StoredEvent` rows, events and event bodies.

Raises ``LogCorrupt`` at the first row that was changed, is missing or is out of order. Raises ``LogUnusable`` for an
event version of a newer nodewall, and ``EventsCompacted`` for a start before the oldest event.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from engine.errors import EventsCompacted, LogCorrupt, LogUnusable
from engine.events import BEGINNING, NOT_AFTER, CompactedBase, Event, EventBody, EventMark, RowFilter, StoredEvent
from engine.events.outcomes import LogCompacted
from engine.events.upcasting import FutureVersion
from engine.reconcile.log_interfaces import EventLog

T = TypeVar("T")

StoredColumns = tuple[int, bytes, bytes, bytes, bytes, bytes, bytes, bytes]
"""Fields of a :class:`StoredEvent` in order; a plain tuple is faster where most rows are skipped."""

MISSING = "the event is missing"
_NOT_RECORDED = "what stands for the compacted events is not on record"


@dataclass(slots=True)
class HashChain:
    """Hash chain of the log ``name``, verified up to the sequence ``last``, whose event has the hash ``previous``."""

    name: str
    last: int
    previous: bytes

    @classmethod
    def behind(cls, known: EventMark, begun: EventMark, name: str) -> "HashChain":
        """Return the chain after a known event, or after the base of the log.

        Args:
            known: an event that the caller has verified before, or ``BEGINNING``.
            begun: the last compacted event of the log.
            name: the log's name in errors.

        Raises:
            EventsCompacted: the known event is older than the base.
        """
        if known != BEGINNING and known.sequence < begun.sequence:
            raise EventsCompacted(name, begun.sequence)
        last, previous = max(known, begun)
        return cls(name, last, previous.encode())

    def rows(
        self, stored: Iterable[StoredColumns], until: int | None = None, wanted: RowFilter | None = None
    ) -> Iterator[StoredEvent]:
        """Verify stored rows up to a sequence, and yield those that ``wanted`` accepts.

        Of rows that it rejects, only the sequence and the link to the previous hash are verified.

        Raises:
            LogCorrupt: a row is missing, out of order, or not as it was appended.
        """
        last, previous = self.last, self.previous
        try:
            for columns in stored:
                if until is not None and last >= until:
                    return
                sequence, _, _, _, kind, body, follows, own = columns
                if sequence != last + 1:
                    raise LogCorrupt(self.name, last + 1, MISSING)
                if wanted is None or wanted(kind, body):
                    row = StoredEvent._make(columns)
                    verify_row(row, previous, self.name)
                    yield row
                elif follows != previous:
                    raise LogCorrupt(self.name, sequence, NOT_AFTER)
                previous, last = own, sequence
        finally:
            self.last, self.previous = last, previous

    def end(self, until: int | None, highest: Callable[[], int]) -> None:
        """Raise ``LogCorrupt`` if rows are missing between the last row and the ``highest`` sequence ever assigned."""
        if (until is None or self.last < until) and highest() != self.last:
            raise LogCorrupt(self.name, self.last + 1, MISSING)


def verify_row(row: StoredEvent, previous: bytes, name: str) -> None:
    """Raise ``LogCorrupt`` unless a row is as it was appended and has ``previous`` as the hash before it."""
    try:
        fault = row.fault(previous)
    except (ValueError, TypeError, AttributeError) as error:
        fault = _wrong_column(error)
    if fault:
        raise LogCorrupt(name, row.sequence, fault)


def parsed(row: StoredEvent, parse: Callable[[StoredEvent], T], name: str) -> T:
    """Return the parsed content of a verified row.

    Raises:
        LogCorrupt: the body or another column is not valid.
        LogUnusable: a newer nodewall wrote this event version.
    """
    try:
        return parse(row)
    except ValidationError as error:
        problem = str(error.errors()[0]["msg"])
        raise LogCorrupt(name, row.sequence, f"its body is not one of an event: {problem}") from None
    except FutureVersion as error:
        raise LogUnusable(name, f"event {row.sequence} is {error}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise LogCorrupt(name, row.sequence, _wrong_column(error)) from None


def _wrong_column(error: Exception) -> str:
    return f"a column does not hold what it should: {error}"


class ChainedLog(EventLog):
    """Base class of the logs: the methods that need only the log's rows, hashes and base."""

    __slots__ = ()

    def read(self, after: int = 0, until: int | None = None) -> Iterator[Event]:
        return (parsed(row, StoredEvent.event, self.name) for row in self.rows(after, until))

    def tail(self, after: EventMark) -> Iterator[Event]:
        return (parsed(row, StoredEvent.event, self.name) for row in self.rows(known=after))

    def said(self, row: StoredEvent) -> EventBody:
        return parsed(row, StoredEvent.said, self.name)

    def hash_at(self, sequence: int) -> bytes:
        return next(self.hashes(sequence - 1), b"") if sequence > 0 else b""

    def verify(self) -> int:
        events = sum(1 for _ in self.rows())
        self.verify_base()
        return events

    def verify_base(self) -> None:
        base = self.base()
        if base.mark != BEGINNING and next(self.compactions(), None) is None:
            raise LogCorrupt(self.name, base.mark.sequence, _NOT_RECORDED)

    def compactions(self) -> Iterator[tuple[int, LogCompacted]]:
        base = self.base()
        for row in self.some(lambda kind, _: kind == b"log.compacted"):
            body = self.said(row)
            if isinstance(body, LogCompacted) and _records(body, row, base):
                yield row.sequence, body


def with_recorded_base(rows: Iterable[StoredEvent], base: CompactedBase, name: str) -> Iterator[StoredEvent]:
    """Yield the rows after a base; raise ``LogCorrupt`` at their end if no compaction event among them records it."""
    found = False
    for row in rows:
        if not found and row.type == b"log.compacted":
            body = parsed(row, StoredEvent.said, name)
            found = isinstance(body, LogCompacted) and _records(body, row, base)
        yield row
    if not found:
        raise LogCorrupt(name, base.mark.sequence, _NOT_RECORDED)


def _records(body: LogCompacted, row: StoredEvent, base: CompactedBase) -> bool:
    """Return whether a compaction event matches the log's base and stands at the place that it names."""
    same = (body.until, body.last, body.state) == (base.mark.sequence, base.mark.hash, base.digest)
    in_place = body.after is None or body.after.encode() == row.previous
    return same and in_place and body.time in {None, base.time}
