"""Hash chain of a log while it is read, and what all logs do alike with verified rows.

Input: rows as a store yields them. Output: verified :class:`StoredEvent` values, events and bodies. Errors:
``LogCorrupt`` at the first event that is not as it was appended, ``LogUnusable`` where a newer nodewall wrote it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from engine.errors import EventsCompacted, LogCorrupt, LogUnusable
from engine.events import BEGINNING, NOT_AFTER, CompactedBase, Event, EventBody, EventMark, RowFilter, StoredEvent
from engine.events.outcomes import LogCompacted
from engine.events.upcasting import FutureVersion
from engine.reconcile.interfaces import EventLog

T = TypeVar("T")

StoredColumns = tuple[int, bytes, bytes, bytes, bytes, bytes, bytes, bytes]
"""The fields of a :class:`StoredEvent` in their order; a plain tuple costs less where most rows are passed over."""

MISSING = "the event is missing"


@dataclass(slots=True)
class HashChain:
    """The chain of the log ``name``, verified up to the event at ``last``, whose hash is ``previous``."""

    name: str
    last: int
    previous: bytes

    @classmethod
    def behind(cls, known: EventMark, begun: EventMark, name: str) -> "HashChain":
        """Return the chain behind a known event, or behind the one that the log begins behind.

        Raises:
            Compacted: the known event lies before that.
        """
        if known != BEGINNING and known.sequence < begun.sequence:
            raise EventsCompacted(name, begun.sequence)
        last, previous = max(known, begun)
        return cls(name, last, previous.encode())

    def rows(
        self, stored: Iterable[StoredColumns], until: int | None = None, wanted: RowFilter | None = None
    ) -> Iterator[StoredEvent]:
        """Yield stored rows that are wanted, up to a sequence, each verified; of the others only the order."""
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
        """Raise ``LogCorrupt`` where events are lost behind the last row, up to the ``highest`` there ever was."""
        if (until is None or self.last < until) and highest() != self.last:
            raise LogCorrupt(self.name, self.last + 1, MISSING)


def verify_row(row: StoredEvent, previous: bytes, name: str) -> None:
    """Raise ``LogCorrupt`` unless a row is as it was appended, and follows the one with the hash ``previous``."""
    try:
        fault = row.fault(previous)
    except (ValueError, TypeError, AttributeError) as error:
        fault = _wrong_column(error)
    if fault:
        raise LogCorrupt(name, row.sequence, fault)


def parsed(row: StoredEvent, parse: Callable[[StoredEvent], T], name: str) -> T:
    """Return what a verified row holds; raises as :meth:`engine.reconcile.interfaces.LogReader.said`."""
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
    """The methods of a log that follow from its rows, its hashes and its base."""

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
            raise LogCorrupt(self.name, base.mark.sequence, "what stands for the compacted events is not on record")

    def compactions(self) -> Iterator[tuple[int, LogCompacted]]:
        base = self.base()
        for row in self.some(lambda kind, _: kind == b"log.compacted"):
            body = self.said(row)
            if isinstance(body, LogCompacted) and _records(body, row, base):
                yield row.sequence, body


def _records(body: LogCompacted, row: StoredEvent, base: CompactedBase) -> bool:
    """Whether an event stands where it says, and says of a base just what it is."""
    same = (body.until, body.last, body.state) == (base.mark.sequence, base.mark.hash, base.digest)
    in_place = body.after is None or body.after.encode() == row.previous
    return same and in_place and body.time in {None, base.time}
