"""Writes Kubernetes Events about objects, which ``kubectl describe`` shows; used by agents and the status controller.

Input: :class:`KubernetesEvent` values (object, reason and message). Output: Events in the API server. A repeated Event
increments the count of the existing one. After a burst, Events are written at a limited rate, and new ones are dropped
while too many wait.

Errors of the API server are logged and retried. Source:
https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/.
"""

import asyncio
from dataclasses import dataclass, field
from http import HTTPStatus
from random import Random

import structlog

from adapters.kubernetes.api.api_client import ApiError, KubernetesApi, WriteVerb
from adapters.kubernetes.api.list_watch import Backoff
from engine.errors import NodewallError
from engine.events import timestamp
from engine.events.outcomes import (
    ApplyConfirmed,
    ApplyFailed,
    ApplyProposed,
    DriftRepaired,
    OutcomeEvent,
    RulesetApplied,
)
from engine.reconcile.interfaces import Clock, Ids

_LOG = structlog.get_logger(__name__)

_NAMESPACE = "default"
"""Namespace of Events about cluster-scoped objects."""

_BURST, _EACH = 10, 5.0
"""Number of Events that may be written at once, and seconds that each further Event waits."""

_WAITING = 200
"""Largest number of pending Events."""

_SERIES = 600.0
"""Seconds during which a repeated Event is counted instead of created again."""

_WORDS = 1000


@dataclass(frozen=True, slots=True)
class InvolvedObject:
    """Object that an Event is about."""

    version: str
    kind: str
    name: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class KubernetesEvent:
    """Event to record; ``reason`` is one word in camel case."""

    regarding: InvolvedObject
    reason: str
    message: str
    warning: bool = True


def events_for_outcome(node: str, outcome: OutcomeEvent) -> tuple[KubernetesEvent, ...]:
    """Return the Events that report an outcome on a Node."""
    # As in kubelet's Events, the uid is the Node's name, because kubectl finds Events about Nodes by it.
    about = InvolvedObject("v1", "Node", node, node)
    match outcome:
        case ApplyFailed(wanted=sequence, words=words):
            return (KubernetesEvent(about, "FirewallNotApplied", f"the state at {sequence} is not in force: {words}"),)
        case RulesetApplied(failed=failed):
            return tuple(
                KubernetesEvent(about, "FirewallRuleRefused", f"rule {each.rule} of policy {each.policy}: {each.words}")
                for each in failed or ()
            )
        case DriftRepaired(found=found, operations=operations, pause=pause):
            words = f"rules of nodewall were changed by others and put right by {operations} operations: {found[0]}"
            fought = f"; they are changed again and again, repairs wait {pause:g} s" if pause else ""
            return (KubernetesEvent(about, "FirewallDriftRepaired", f"{words}{fought}"),)
        case ApplyProposed() | ApplyConfirmed():
            return ()
        case _:
            return ()


@dataclass(slots=True)
class _Series:
    """Written Event, and how often it occurred."""

    name: str
    first: str
    at: float
    count: int = 0


@dataclass(slots=True)
class KubernetesEventRecorder:
    """Writes Events as ``component`` on ``host``; only the thread of :meth:`run` may call :meth:`take`."""

    api: KubernetesApi
    clock: Clock
    ids: Ids
    dice: Random
    component: str
    host: str = ""
    _pending: dict[KubernetesEvent, int] = field(default_factory=dict)
    _known: dict[KubernetesEvent, _Series] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _free_at: float = 0.0

    def take(self, notice: KubernetesEvent) -> None:
        """Queue an Event, or count a repeated one; drop it if too many are pending."""
        if notice in self._pending or len(self._pending) < _WAITING:
            self._pending[notice] = self._pending.get(notice, 0) + 1
            self._news.set()

    async def run(self) -> None:
        """Write queued Events until cancelled."""
        backoff = Backoff(self.dice)
        while True:
            while not self._pending:
                self._news.clear()
                await self._news.wait()
            await self._spread_out()
            notice = next(iter(self._pending))
            try:
                await self._tell(notice, self._pending[notice])
            except NodewallError as error:
                _LOG.debug("not told", error=str(error))
                if isinstance(error, ApiError) and error.code == HTTPStatus.FORBIDDEN:
                    del self._pending[notice]  # a retry would be forbidden too
                await asyncio.sleep(max(getattr(error, "wait", None) or 0.0, backoff.seconds()))
                continue
            backoff.reset()
            del self._pending[notice]

    async def _spread_out(self) -> None:
        """Wait if many Events were written recently."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now - _BURST * _EACH) + _EACH
        await asyncio.sleep(max(0.0, self._free_at - now))

    async def _tell(self, notice: KubernetesEvent, times: int) -> None:
        now, time = asyncio.get_running_loop().time(), timestamp(self.clock.now())[:19] + "Z"
        self._known = {key: each for key, each in self._known.items() if now - each.at < _SERIES}
        known = self._known.get(notice)
        collection = f"/api/v1/namespaces/{_NAMESPACE}/events"
        if known is not None:
            again = {"count": known.count + times, "lastTimestamp": time}
            try:
                await self.api.write(WriteVerb.PATCH, f"{collection}/{known.name}", again)
            except ApiError as error:
                if error.code != HTTPStatus.NOT_FOUND:
                    raise
                del self._known[notice]  # the API server deletes Events after a while
            else:
                known.count += times
                return
        series = _Series(f"{notice.regarding.name}.{self.ids.new().replace('-', '')}", time, now, times)
        await self.api.write(WriteVerb.CREATE, collection, self._event(notice, series))
        self._known[notice] = series

    def _event(self, notice: KubernetesEvent, series: _Series) -> dict[str, object]:
        about = notice.regarding
        message = notice.message if len(notice.message) <= _WORDS else f"{notice.message[: _WORDS - 1]}…"
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": series.name, "namespace": _NAMESPACE},
            "involvedObject": {
                "apiVersion": about.version,
                "kind": about.kind,
                "name": about.name,
                **({"uid": about.uid} if about.uid else {}),
            },
            "type": "Warning" if notice.warning else "Normal",
            "reason": notice.reason,
            "message": message,
            "source": {"component": self.component, **({"host": self.host} if self.host else {})},
            "firstTimestamp": series.first,
            "lastTimestamp": series.first,
            "count": series.count,
        }
