"""Events as logs store them: what is hashed is the text as it stands there, of whatever version it is."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.events import Event, EventBody, body_as_json, body_from_json, canonical, timestamp
from engine.ports import Clock, Ids

COLUMNS = ("sequence", "time", "id", "source", "type", "body", "previous", "hash")


@dataclass(frozen=True, slots=True)
class Row:
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
        texts = {"id": self.id, "previous": self.previous, "source": self.source, "time": self.time, "type": self.type}
        return hashlib.sha256(self._text(texts)).hexdigest().encode()

    def line(self) -> bytes:
        """Return it as one line of JSON, always the same; what the body says stands there as it is stored."""
        return self._text({name: getattr(self, name) for name in COLUMNS if name not in {"sequence", "body"}}) + b"\n"

    def _text(self, texts: Mapping[str, bytes]) -> bytes:
        values = {key: canonical(text.decode()) for key, text in texts.items()}
        values |= {"body": self.body, "sequence": canonical(self.sequence)}
        return b"{%s}" % b",".join(b'"%s":%s' % (key.encode(), values[key]) for key in sorted(values))

    @classmethod
    def of_line(cls, line: bytes) -> "Row":
        """Return the row that a line holds; raise ``ValueError`` where it holds none."""
        try:
            found = json.loads(line)
        except RecursionError:
            raise ValueError("too deep") from None
        if not isinstance(found, dict) or found.keys() != set(COLUMNS):
            raise ValueError("not one of an event")
        sequence, body = found.pop("sequence"), found.pop("body")
        if type(sequence) is not int or sequence < 1 or not all(isinstance(text, str) for text in found.values()):
            raise ValueError("a field does not hold what it should")
        texts = {name: text.encode() for name, text in found.items()}
        return cls(sequence=sequence, body=canonical(body), **texts)

    @property
    def values(self) -> tuple[int | str, ...]:
        """What stands in its columns."""
        return self.sequence, *(getattr(self, name).decode() for name in COLUMNS[1:])

    def fault(self, previous: bytes) -> str:
        """Return why it cannot follow the row whose hash is ``previous``, nothing where it can."""
        if self.previous != previous:
            return "it does not follow the event before it"
        return "" if self.digest() == self.hash else "its content does not match its hash"

    def event(self) -> Event:
        """Return it as a value; raise ``ValueError`` where it is none."""
        return Event(
            sequence=self.sequence,
            time=datetime.fromisoformat(self.time.decode()),
            id=self.id.decode(),
            source=self.source.decode(),
            body=body_from_json(self.body),
            previous=self.previous.decode(),
            hash=self.hash.decode(),
        )


def sealed(
    bodies: Sequence[EventBody], source: str, newest: tuple[int, str], clock: Clock, ids: Ids
) -> Iterator[Event]:
    """Yield the bodies as events that follow the newest one, of which sequence and hash are given."""
    last, previous = newest
    for sequence, body in enumerate(bodies, start=last + 1):
        event = Event(
            sequence=sequence, time=clock.now(), id=ids.new(), source=source, body=body, previous=previous
        ).sealed()
        previous = event.hash
        yield event


def columns(event: Event) -> tuple[int | str, ...]:
    """Return what stands in each column of an event's row."""
    body = canonical(body_as_json(event.body)).decode()
    time = timestamp(event.time)
    return event.sequence, time, event.id, event.source, event.body.type, body, event.previous, event.hash
