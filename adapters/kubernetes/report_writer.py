"""Writes the reports of a Node (NodeFirewall objects) to the API server, at a limited rate.

Input: the latest :class:`NodeReport`. Output: a changed status is written at once (at most one write per second). A
report in which only counts changed is written after 30 s, an unchanged report every 10 minutes.

Errors of the API server are logged and retried with growing waits.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from random import Random

import structlog

from adapters.kubernetes.api.api_client import ApiError, KubernetesApi, WriteVerb
from adapters.kubernetes.api.list_watch import Backoff
from adapters.kubernetes.api.resources import NODE_FIREWALLS
from adapters.kubernetes.nodefirewall import StatusCondition, document_of, empty_report
from engine.errors import NodewallError
from engine.events import timestamp
from engine.reconcile.interfaces import Clock
from engine.status.node_report import NodeReport

_LOG = structlog.get_logger(__name__)

_GAP, _SELDOM, _RENEWED = 1.0, 30.0, 600.0
"""Seconds between two reports: at least, when only counts differ, and when nothing differs."""


@dataclass(slots=True)
class ReportWriter:
    """Writes the latest report; only the thread of :meth:`run` may call :meth:`take`."""

    api: KubernetesApi
    clock: Clock
    dice: Random
    _latest: NodeReport | None = None
    _sent: NodeReport | None = None
    _sent_at: float = float("-inf")
    _conditions: tuple[StatusCondition, ...] = ()
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, report: NodeReport | None) -> None:
        """Set the report to write, or None while the Node does not exist."""
        self._latest = report
        if report is None:
            self._sent = None  # the controller deletes the report of a missing Node
        self._news.set()

    async def run(self) -> None:
        """Write reports until cancelled."""
        backoff, said = Backoff(self.dice), ""
        while True:
            await self._until_due()
            sending = self._latest
            if sending is None:
                continue
            try:
                await self._send(sending)
            except NodewallError as error:
                if str(error) != said:
                    said = str(error)
                    _LOG.warning("not reported", error=said)
                await asyncio.sleep(max(getattr(error, "wait", None) or 0.0, backoff.seconds()))
                continue
            backoff.reset()
            said, self._sent, self._sent_at = "", sending, asyncio.get_running_loop().time()

    async def _until_due(self) -> None:
        while (wait := self._wait()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._news.wait()
            self._news.clear()

    def _wait(self) -> float:
        """Return the seconds until the next write is due, if no new report arrives."""
        if self._latest is None:
            return _RENEWED
        since = asyncio.get_running_loop().time() - self._sent_at
        if self._sent is None:
            return 0.0
        if self._latest.watched_fields != self._sent.watched_fields:
            return _GAP - since
        return (_SELDOM if self._latest != self._sent else _RENEWED) - since

    async def _send(self, report: NodeReport) -> None:
        now = timestamp(self.clock.now())
        document, conditions = document_of(report, self._conditions, now)
        path = f"{NODE_FIREWALLS.paths[0]}/{report.node}"
        try:
            await self.api.write(WriteVerb.APPLY, f"{path}/status", document)
        except ApiError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            await self.api.write(WriteVerb.APPLY, path, empty_report(report.node))
            await self.api.write(WriteVerb.APPLY, f"{path}/status", document)
        self._conditions = conditions
