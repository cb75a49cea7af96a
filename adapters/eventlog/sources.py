"""Where an agent hears of changes: a log that grows, or manifests, which are read once."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from adapters.eventlog.handoff import Handoff
from adapters.eventlog.snapshots import Snapshots
from engine.events import BEGINNING, ConfigDeclared, Event, EventBody, EventMark
from engine.objects.config import Configuration
from engine.reconcile.interfaces import FollowedLog, LogReader
from engine.state.fold import ClusterState


@dataclass(frozen=True, slots=True)
class SourceUpdate:
    """What has happened, and when it was put on record."""

    body: EventBody
    time: datetime


class EventSource(Protocol):
    """Tells a cluster's state, and what happens to it."""

    def start(self) -> ClusterState:
        """Return the state there is, complete."""
        ...

    def news(self) -> Sequence[SourceUpdate]:
        """Return what has happened since the last call, in order.

        Raises:
            NodewallError: it cannot be told now.
        """
        ...


class LogSource:
    """Follows an event log; what is read is verified, from the nearest state that is kept on.

    ``configured`` says what a configuration amounts to with what this node was told besides, ``handover`` may know what
    somebody else in this process found out or appended.
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
    """Yield the events of a log behind one, and then for ever those that are appended, asked for at each ``pause``.

    Raises:
        LogError: the log cannot be read, or an event cannot be trusted.
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
    """A state that stays as it is."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state

    def start(self) -> ClusterState:
        return self._state

    def news(self) -> Sequence[SourceUpdate]:
        return ()
