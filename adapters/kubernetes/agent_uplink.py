"""Connects a Node's agent to its cluster: records cluster objects in the agent's log, and reports the agent's results.

Input: the agent's event log and its listeners (callbacks for what the agent does). Output: recorded events, a
NodeFirewall report, and Kubernetes Events about the Node. All of this runs in a background thread.

Errors of the API server are logged and retried. Raises ``LogError`` if an existing log cannot be read.
"""

import threading
import time
from collections.abc import Mapping
from functools import partial

from adapters.eventlog.handoff import Handoff
from adapters.eventlog.snapshots import Snapshots
from adapters.kubernetes.api.k8s_events import KubernetesEventRecorder, events_for_outcome
from adapters.kubernetes.log_recorder import LogRecorder
from adapters.kubernetes.report_writer import ReportWriter
from adapters.node.listeners import AgentListeners
from adapters.node.report_throttle import ReportThrottle
from adapters.system.async_worker import AsyncWorker
from engine.events import EventBody
from engine.events.outcomes import OutcomeEvent
from engine.reconcile.log_interfaces import LogReader, SnapshotLog
from engine.status.node_report import NodeReport


class AgentUplink:
    """Connection of the agent of ``node`` to its cluster: records objects, writes reports and Kubernetes Events."""

    def __init__(
        self, node: str, recorder: LogRecorder, reporting: ReportWriter, notices: KubernetesEventRecorder
    ) -> None:
        self._node = node
        self._recorder, self._reporting, self._notices = recorder, reporting, notices
        self._settled, self._handover = threading.Event(), Handoff()
        self._recorder.handover = self._handover

    def join(self, log: SnapshotLog, background: AsyncWorker, outlets: AgentListeners) -> None:
        """Add the uplink's work to ``background``, and subscribe to the agent's listeners.

        If ``log`` exists, the recorder continues from its last state.

        Raises:
            LogError: the existing log cannot be read or verified.
        """
        if log.exists:
            self._recorder.begun = Snapshots(log).reached()
            self._handover.offer(self._recorder.begun)

        def report(what: NodeReport | None) -> None:
            background.call(partial(self._reporting.take, what))

        def tell(body: EventBody) -> None:
            for notice in events_for_outcome(self._node, body) if isinstance(body, OutcomeEvent) else ():
                background.call(partial(self._notices.take, notice))

        background.add("recorder", self._recorder.run)
        background.add("reports", self._reporting.run)
        background.add("notices", self._notices.run)
        background.add("settling", self._tell_settled)
        reporter = ReportThrottle(report, time.monotonic)
        outlets.on_did.extend((reporter.did, tell))
        outlets.on_turned.append(reporter.consider)

    def settle(self, log: LogReader) -> Handoff:
        """Return the handoff for the reader of the log; wait first until a new log holds the whole cluster."""
        if not log.exists:
            self._settled.wait()
        return self._handover

    def lag(self) -> Mapping[str, float]:
        """Return by kind for how many seconds its watch has been interrupted; 0 while the watch works."""
        now = time.monotonic()
        return {kind: 0.0 if since is None else now - since for kind, since in self._recorder.deaf_since().items()}

    async def _tell_settled(self) -> None:
        await self._recorder.settled()
        self._settled.set()
