"""Event sources of the agent: an event log that grows, or manifests that are read once.

Input: an event log, or the ``ClusterState`` from manifests. Output: a complete ``ClusterState`` at the start, then
:class:`SourceUpdate` values, each an event body with the time when it was recorded. Raises ``LogError`` if the log
cannot be read or verified.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from adapters.eventlog.handoff import Handoff
from adapters.eventlog.snapshots import Snapshots
from engine.events import BEGINNING, ConfigDeclared, Event, EventBody, EventMark
from engine.objects.config import Configuration
from engine.reconcile.log_interfaces import FollowedLog, LogReader
from engine.state.fold import ClusterState


@dataclass(frozen=True, slots=True)
class SourceUpdate:
    """Event body, and the time when it was recorded."""

    body: EventBody
    time: datetime


class EventSource(Protocol):
    """Source of a cluster state and its later updates."""

    def start(self) -> ClusterState:
        """Return the complete current state."""
        ...

    def news(self) -> Sequence[SourceUpdate]:
        """Return the updates since the last call, oldest first.

        Raises:
            NodewallError: the source cannot be read now.
        """
        ...


class LogSource:
    """Follows an event log, and verifies the events that it reads after the nearest snapshot.

    ``configured`` adds this Node's own settings to a declared configuration. ``handover`` passes values from the
    recorder in the same process.
    """

    def __init__(
        self,
        log: FollowedLog,
        configured: Callable[[Configuration], Configuration],
        handover: Handoff | None = None,
    ) -> None:
        self.log = log
        self._configured = configured
        self._handover = handover or Handoff()
        self._last = BEGINNING

    def start(self) -> ClusterState:
        state, self._last = self._handover.begin() or Snapshots(self.log).reached()
        return replace(state, config=self._configured(state.config))

    def news(self) -> Sequence[SourceUpdate]:
        if self.log.last_sequence() == self._last.sequence:
            return ()
        rows = list(self.log.rows(known=self._last))
        news = [
            SourceUpdate(
                self._heard(self._handover.take(row.hash) or self.log.said(row)),
                datetime.fromisoformat(row.time.decode()),
            )
            for row in rows
        ]
        self._last = EventMark(rows[-1].sequence, rows[-1].hash.decode())
        return news

    def _heard(self, body: EventBody) -> EventBody:
        return ConfigDeclared(config=self._configured(body.config)) if isinstance(body, ConfigDeclared) else body


def followed(log: LogReader, after: int, pause: float = 0.2) -> Iterator[Event]:
    """Yield the events after a sequence, then new events without end.

    Args:
        log: the log to follow.
        after: the sequence before the first event to yield.
        pause: seconds between two checks for new events.

    Raises:
        LogError: the log cannot be read, or an event cannot be verified.
    """
    last = BEGINNING
    while True:
        for event in log.tail(last):
            last = EventMark(event.sequence, event.hash)
            if event.sequence > after:
                yield event
        while log.last_sequence() == last.sequence:
            time.sleep(pause)


class FixedSource:
    """Source whose state never changes, as for manifests."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state

    def start(self) -> ClusterState:
        return self._state

    def news(self) -> Sequence[SourceUpdate]:
        return ()
