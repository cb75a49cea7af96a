"""Records the changes of a cluster in an event log as they happen.

Input: lists and watches of the API server. Output: events appended to a :class:`RecordedLog` (event log). Objects
that nodewall cannot accept, such as a policy with an unknown field, are recorded as refusals. Errors of the API
server are logged and retried.

Raises ``LogError`` if the log cannot be read; a failed write is retried.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import structlog

from adapters.eventlog.handoff import Handoff, VerifiedState
from adapters.eventlog.snapshots import Snapshots
from adapters.kubernetes.api.api_client import KubernetesApi
from adapters.kubernetes.api.list_watch import Watcher
from adapters.kubernetes.api.object_cache import ObjectCache, ReceivedObject
from adapters.kubernetes.api.resources import RESOURCES
from engine.errors import EventTooLarge, LogConflict, LogError
from engine.events import BEGINNING, Declaration, EventBody, EventMark, ObjectRefused, Refusal, subject
from engine.objects import key_of
from engine.reconcile.log_interfaces import RecordedLog
from engine.state.fold import ClusterState, evolve

_LOG = structlog.get_logger(__name__)

_GATHERED = 0.02
"""Seconds to collect changes before they are recorded, because several often arrive together."""

_AGAIN = 1.0
"""Seconds until a failed write to the log is tried again."""


@dataclass(slots=True)
class LogRecorder:
    """Records the objects of an API server in an event log."""

    api: KubernetesApi
    log: RecordedLog
    source: str
    dice: Random
    handover: Handoff | None = None
    """Handoff for the reader of the log: receives appended events, and the first state of a new log."""
    begun: VerifiedState | None = None
    """State of the log, if the caller has read it already."""
    _mirror: ObjectCache = field(default_factory=ObjectCache)
    _state: ClusterState = field(default_factory=ClusterState)
    _mark: EventMark = BEGINNING
    _new: bool = False
    _whole: asyncio.Event = field(default_factory=asyncio.Event)
    _watchers: list[Watcher[ReceivedObject]] = field(default_factory=list)

    async def settled(self) -> None:
        """Wait until the log holds the whole cluster for the first time."""
        await self._whole.wait()

    def deaf_since(self) -> Mapping[str, float | None]:
        """Return by kind since when its watch has been interrupted, by the loop's clock; None while it works."""
        return {watcher.resource.kind: watcher.deaf_since for watcher in self._watchers}

    async def run(self) -> None:
        """Record until cancelled.

        Raises:
            LogError: the existing log cannot be read or verified.
        """
        if self.begun is not None:
            (self._state, self._mark), self.begun = self.begun, None
        elif self.log.exists:
            self._state, self._mark = Snapshots(self.log).reached()
        else:
            self._new = True
        news = asyncio.Event()
        self._watchers = [Watcher(self.api, each, self._mirror, news.set, self.dice) for each in RESOURCES]
        async with asyncio.TaskGroup() as tasks:
            for watcher in self._watchers:
                tasks.create_task(watcher.run())
            while True:
                await news.wait()
                await asyncio.sleep(_GATHERED)
                news.clear()
                await self._record()

    async def _record(self) -> None:
        """Append the new events, unless some kind has not been listed yet."""
        if not self._mirror.complete:
            return
        self._catch_up()
        bodies = self._mirror.take(self._state)
        while bodies:
            try:
                events = self.log.append(bodies, source=self.source, expected=self._mark.sequence)
            except LogConflict:
                self._catch_up()
            except EventTooLarge as error:
                _LOG.error("not on record", error=str(error))
                bodies = tuple(self._without(error, bodies))
            except LogError as error:
                _LOG.error("not on record", error=str(error))
                await asyncio.sleep(_AGAIN)
            else:
                if self.handover is not None:
                    self.handover.put(events)
                for event in events:
                    self._take(event.body, EventMark(event.sequence, event.hash))
                break
        if self._new and self.handover is not None:
            self.handover.offer((self._state, self._mark))
        self._new = False
        self._whole.set()

    def _without(self, error: EventTooLarge, bodies: Sequence[EventBody]) -> Iterator[EventBody]:
        """Yield the bodies, with a refusal in place of the object that is too large, unless it is refused already."""
        for body in bodies:
            if subject(body) != error.about:
                yield body
            elif isinstance(body, Declaration):
                fault = Refusal(path="", problem=f"found {error.size:,} bytes", expected=f"at most {error.most:,}")
                refusal = ObjectRefused(kind=body.object.kind, name=key_of(body.object), faults=(fault,))
                if self._state.refusals.get(error.about) != refusal:
                    yield refusal

    def _catch_up(self) -> None:
        """Read the events that other processes appended, such as an agent's outcomes."""
        if self.log.exists and self.log.last_sequence() != self._mark.sequence:
            for event in self.log.tail(self._mark):
                self._take(event.body, EventMark(event.sequence, event.hash))

    def _take(self, body: EventBody, mark: EventMark) -> None:
        self._state, self._mark = evolve(self._state, body), mark
