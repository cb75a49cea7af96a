"""Builds the rows of an event log from new event bodies, and chains the rows by hashes.

Input: event bodies, and the sequence number and hash of the newest event in the log. Output: pairs of a
:class:`StoredEvent` (the row) and an :class:`Event`, each with the hash of the event before it.

Raises ``EventTooLarge`` for a body of more than 1 MiB.
"""

from collections.abc import Iterator, Sequence

from engine.errors import EventTooLarge
from engine.events import Event, EventBody, StoredEvent, body_as_json, canonical, subject, timestamp
from engine.reconcile.interfaces import Clock, Ids

LARGEST = 1 << 20
"""Most bytes of a body (1 MiB); etcd itself refuses objects with more than 1.5 MB of JSON."""


def sealed(
    bodies: Sequence[EventBody],
    source: str,
    newest: tuple[int, str],
    clock: Clock,
    ids: Ids,
    first: str | None = None,
) -> Iterator[tuple[StoredEvent, Event]]:
    """Yield a row and an event for each body, chained to the newest event of the log.

    Args:
        bodies: the new bodies, oldest first.
        source: the source field of the events.
        newest: sequence and hash of the newest event.
        clock: the source of event times.
        ids: the source of event ids.
        first: the id of the first event, instead of a new one.

    Raises:
        EventTooLarge: a body has more than ``LARGEST`` bytes.
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
