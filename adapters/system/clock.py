"""Clocks and generators of event ids (UUIDv7): those of the system, and predictable ones for tests and examples.

Output: the time in UTC, or an id as text. Source: RFC 9562, section 5.7.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import uuid_utils

from engine.reconcile.interfaces import Clock, Ids

_START = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SystemClock(Clock):
    """Clock of the system, in UTC."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(slots=True)
class FixedClock(Clock):
    """Clock that starts at ``time`` and advances by one second at each reading."""

    time: datetime = _START

    def now(self) -> datetime:
        now, self.time = self.time, self.time + timedelta(seconds=1)
        return now


@dataclass(frozen=True, slots=True)
class SystemIds(Ids):
    """UUIDv7 from the system's clock and randomness."""

    def new(self) -> str:
        return str(uuid_utils.uuid7())


@dataclass(frozen=True, slots=True)
class CountedIds(Ids):
    """UUIDv7 that count up from 1; all contain the time ``start``."""

    start: datetime = _START
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    def new(self) -> str:
        milliseconds = int(self.start.timestamp() * 1000)
        # RFC 9562, 5.7: 48 bits of time, version 7, variant binary 10; the rest is free.
        return str(UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | next(self._numbers)))
