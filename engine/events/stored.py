"""Events as a log stores them: rows of text, positions in the log, and the state that replaces compacted events.

`StoredEvent` is one row; it converts to an :class:`engine.events.Event` or its body. `EventMark` is a position:
sequence and hash of an event. `CompactedBase` is the state that a compacted log begins with. The hash of an event
covers the stored text, so a row of any schema version can be verified without parsing its body. Raises ``ValueError``
for text that is not an event.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from engine.bounded_json import parse_json
from engine.events.codec import body_from_json, canonical
from engine.events.envelope import GENESIS, Event
from engine.events.types import EventBody

_PLAIN = re.compile(rb"[ !#-\[\]-~]*")
"""Text that is itself between quotes in JSON."""

NOT_AFTER = "it does not follow the event before it"

MAX_SEQUENCE = (1 << 63) - 1
"""Highest sequence that SQLite can store."""

RowFilter = Callable[[bytes, bytes], bool]
"""Function that says whether an event is wanted, by its type and its body as stored."""


class StoredEvent(NamedTuple):
    """An event as it is stored: every column but the sequence as bytes."""

    sequence: int
    time: bytes
    id: bytes
    source: bytes
    type: bytes
    body: bytes
    previous: bytes
    hash: bytes

    def digest(self) -> bytes:
        """Return the hash of the stored text; equals ``Event.digest`` of a sound event."""
        return hashlib.sha256(self._text(b"")).hexdigest().encode()

    def line(self) -> bytes:
        """Return it as one line of JSON, always the same; what the body says stands there as it is stored."""
        return self._text(b'"hash":%s,' % _quoted(self.hash)) + b"\n"

    def _text(self, more: bytes) -> bytes:
        names = self.id, self.previous, self.time, self.type
        # Most of what is asked of a log is hashes, so what needs no look at its characters gets none.
        if _PLAIN.fullmatch(b"".join(names)):
            return b'{"body":%s,%s"id":"%s","previous":"%s","sequence":%d,"source":%s,"time":"%s","type":"%s"}' % (
                *(self.body, more, self.id, self.previous, self.sequence),
                *(_quoted(self.source), self.time, self.type),
            )
        number, previous, time, kind = map(_quoted, names)
        return b'{"body":%s,%s"id":%s,"previous":%s,"sequence":%d,"source":%s,"time":%s,"type":%s}' % (
            *(self.body, more, number, previous, self.sequence),
            *(_quoted(self.source), time, kind),
        )

    @classmethod
    def of_line(cls, line: bytes) -> "StoredEvent":
        """Return the row that a line holds; raise ``ValueError`` where it holds none."""
        found = parse_json(line)
        if not isinstance(found, dict) or found.keys() != set(cls._fields):
            raise ValueError("not one of an event")
        sequence, body = found.pop("sequence"), found.pop("body")
        if (
            type(sequence) is not int
            or not 1 <= sequence <= MAX_SEQUENCE
            or not all(isinstance(text, str) for text in found.values())
        ):
            raise ValueError("a field does not hold what it should")
        texts = {name: text.encode() for name, text in found.items()}
        return cls(sequence=sequence, body=canonical(body), **texts)

    @property
    def values(self) -> tuple[int | str, ...]:
        """Values of its columns."""
        return self.sequence, *(text.decode() for text in self[1:])

    def fault(self, previous: bytes) -> str:
        """Return why it cannot follow the row whose hash is ``previous``, nothing where it can."""
        if self.previous != previous:
            return NOT_AFTER
        return "" if self.digest() == self.hash else "its content does not match its hash"

    def said(self) -> EventBody:
        """Return its body; raise ``ValueError`` for a body that is not known, or whose type is not that of the row."""
        body = body_from_json(self.body)
        if body.type.encode() != self.type:
            raise ValueError(f"its body is of type {body.type}")
        return body

    def event(self) -> Event:
        """Return it as a value; raise ``ValueError`` where it is none."""
        return Event(
            sequence=self.sequence,
            time=datetime.fromisoformat(self.time.decode()),
            id=self.id.decode(),
            source=self.source.decode(),
            body=self.said(),
            previous=self.previous.decode(),
            hash=self.hash.decode(),
        )


@lru_cache(maxsize=1024)
def _quoted(text: bytes) -> bytes:
    return canonical(text.decode())


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
