"""Rows made of new event bodies, each chained to the one before."""

from collections.abc import Iterator, Sequence

from engine.errors import EventTooLarge
from engine.events import Event, EventBody, StoredEvent, body_as_json, canonical, subject, timestamp
from engine.reconcile.interfaces import Clock, Ids

LARGEST = 1 << 20
"""Bytes of a body; nothing in a cluster is larger, since its own store takes no object of more than 1.5 MB of JSON."""


def sealed(
    bodies: Sequence[EventBody],
    source: str,
    newest: tuple[int, str],
    clock: Clock,
    ids: Ids,
    first: str | None = None,
) -> Iterator[tuple[StoredEvent, Event]]:
    """Yield the bodies as events that follow the newest one, of which sequence and hash are given, and their rows.

    The first one bears the id ``first`` where there is one.

    Raises:
        EventTooLarge: a body has too many bytes.
    """
    last, previous = newest
    for sequence, body in enumerate(bodies, start=last + 1):
        time, number = clock.now(), first if first and sequence == last + 1 else ids.new()
        text, kind = canonical(body_as_json(body)), body.type.encode()
        if len(text) > LARGEST:
            raise EventTooLarge(subject(body), len(text), LARGEST)
        row = StoredEvent(
            *(sequence, timestamp(time).encode(), number.encode(), source.encode(), kind, text, previous.encode(), b"")
        )
        digest = row.digest()
        event = Event(
            sequence=sequence, time=time, id=number, source=source, body=body, previous=previous, hash=digest.decode()
        )
        yield row._replace(hash=digest), event
        previous = event.hash
