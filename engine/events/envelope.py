"""Event envelope (sequence, time, id, source) and the hash chain that links each event to the previous one.

Input: an `EventBody`, the body of an event. Output: an `Event`, linked to the previous one by SHA-256. `chain_fault`
checks one link. The hash covers the body as canonical JSON (:mod:`engine.events.codec`).
"""

import hashlib
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from engine.events.codec import body_as_json, canonical, timestamp
from engine.events.types import EventBody

GENESIS = "0" * 64
"""Previous hash of the first event."""


def _in_utc(time: datetime) -> datetime:
    try:
        time.astimezone(UTC)
    except OverflowError:
        raise ValueError("not a time of the years 1 to 9999 in UTC") from None
    return time


EventTime = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""Time with zone that also exists in UTC, in which logs and signatures write it."""


class Event(BaseModel):
    """One entry of the log: sequence, time (UTC), id (UUIDv7), source, body, and the links of the hash chain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sequence: Annotated[int, Field(ge=1)]
    time: EventTime
    id: str
    source: str
    body: EventBody
    previous: str
    hash: str = ""

    def sealed(self) -> "Event":
        """Return the event with its own hash set."""
        return self.model_copy(update={"hash": self.digest()})

    def digest(self) -> str:
        """Return the SHA-256 of everything but the hash, in canonical JSON, as 64 hexadecimal digits."""
        return hashlib.sha256(canonical(self.as_json(with_hash=False))).hexdigest()

    def as_json(self, *, with_hash: bool = True) -> dict[str, object]:
        """Return the event in the form that the log shows and exports."""
        rest: dict[str, object] = {"hash": self.hash} if with_hash else {}
        return {
            "sequence": self.sequence,
            "time": timestamp(self.time),
            "id": self.id,
            "source": self.source,
            "type": self.body.type,
            "body": body_as_json(self.body),
            "previous": self.previous,
            **rest,
        }


def chain_fault(previous: str, event: Event) -> str | None:
    """Return the reason why the event cannot follow the one with hash ``previous``, or None if it can."""
    if event.previous != previous:
        return "it does not follow the event before it"
    if event.digest() != event.hash:
        return "its content does not match its hash"
    return None
