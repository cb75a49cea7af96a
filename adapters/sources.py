"""Where an agent hears of changes: a log that grows, or manifests, which are read once."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Protocol

from adapters.eventlog import SqliteLog
from engine.config import Configuration
from engine.events import ConfigDeclared, Event, EventBody
from engine.state import ClusterState, fold


class Source(Protocol):
    """Tells a cluster's state, and what happens to it."""

    def start(self) -> ClusterState:
        """Return the state there is, complete."""
        ...

    def news(self) -> Iterable[EventBody]:
        """Return what has happened since the last call, in order.

        Raises:
            NodewallError: it cannot be told now.
        """
        ...


class LogSource:
    """Follows an event log; what is read is verified, from the first event on.

    ``configured`` says what a configuration amounts to with what this node was told besides.
    """

    def __init__(self, log: SqliteLog, configured: Callable[[Configuration], Configuration]) -> None:
        self._log = log
        self._configured = configured
        self._last: Event | None = None

    def start(self) -> ClusterState:
        state = fold(self._noted())
        return replace(state, config=self._configured(state.config))

    def _noted(self) -> Iterator[Event]:
        for event in self._log.read():
            self._last = event
            yield event

    def news(self) -> Iterable[EventBody]:
        known = self._last.sequence if self._last else 0
        if self._log.last_sequence() == known:
            return ()
        events = list(self._log.tail(self._last) if self._last else self._log.read())
        self._last = events[-1]
        return [self._heard(event.body) for event in events]

    def _heard(self, body: EventBody) -> EventBody:
        return ConfigDeclared(config=self._configured(body.config)) if isinstance(body, ConfigDeclared) else body


def followed(log: SqliteLog, after: int, pause: float = 0.2) -> Iterator[Event]:
    """Yield the events of a log behind one, and then for ever those that are appended, asked for at each ``pause``.

    Raises:
        LogError: the log cannot be read, or an event cannot be trusted.
    """
    last: Event | None = None
    while True:
        for event in log.read() if last is None else log.tail(last):
            last = event
            if event.sequence > after:
                yield event
        while log.last_sequence() == (last.sequence if last else 0):
            time.sleep(pause)


class FixedSource:
    """A state that stays as it is."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state

    def start(self) -> ClusterState:
        return self._state

    def news(self) -> Iterable[EventBody]:
        return ()
