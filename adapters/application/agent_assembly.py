"""Builds the agent of a Node from its options and adapters, and runs it; used by ``nodewall agent``.

Input: a :class:`Selection` (the Node, with manifests or an event log), a :class:`NodeAccess` (kernel and host of the
Node) and :class:`AgentOptions`. Output: the agent keeps the rules of the Node enforced until a signal. If the options
ask for it, the agent also records the cluster, reports to it, and serves health and metrics.

Raises ``Refused`` for contradictory options, if another nodewall process holds the lock of the Node, or if an apply
awaits confirmation. Raises ``LogError`` if the event log cannot be read, and ``KernelError`` if a tool is missing or
fails.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from random import SystemRandom
from typing import TYPE_CHECKING, Self

import structlog

from adapters import wiring
from adapters.application.node_access import NodeAccess
from adapters.application.selection import Selection, backend_of, effective_configuration
from adapters.eventlog.handoff import Handoff
from adapters.eventlog.sources import EventSource, FixedSource, LogSource
from adapters.netfilter.backends import ToolBackend, mixed_backends_note
from adapters.netfilter.cached import CachedKernel
from adapters.netfilter.counters import counted
from adapters.node.agent import Agent
from adapters.node.drift import RulesetEnforcer
from adapters.node.journal import Journal
from adapters.node.listeners import AgentListeners
from adapters.node.removal import clear_others, remove
from adapters.system.async_worker import AsyncWorker
from adapters.system.process import SystemRunner
from adapters.telemetry.health import AgentHealth
from engine.errors import Fault, Refused
from engine.reconcile.log_interfaces import EventLog, FollowedLog, LogWatch, LogWriter
from engine.reconcile.reconciler import NodeRuleReconciler
from engine.state.fold import ClusterState
from simulator.symbolic import Budget

if TYPE_CHECKING:
    from adapters.kubernetes.agent_uplink import AgentUplink
    from adapters.telemetry.metrics import NodeMetrics

_LOG = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """Kubeconfig file and context for an API server; None means the default of each."""

    kubeconfig: str | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """Options of an agent: limits, cluster, HTTP address, and removal at the end."""

    budget: Callable[[], Budget]
    """Returns the limits on time and memory for one proof."""
    remove_on_exit: bool = False
    """Remove all rules of nodewall when the agent ends."""
    cluster: ClusterAccess | None = None
    """Cluster to record in the log and to report to, if any."""
    listen: tuple[str, int] | None = None
    """Address and port of the HTTP server for probes and Prometheus, if any."""


def run_agent(selection: Selection, access: NodeAccess, options: AgentOptions) -> None:
    """Keep the rules of the selected node enforced until SIGTERM or SIGINT arrives."""
    given, node = selection.options, selection.node
    log = wiring.event_log(given.log) if given.log else None
    if options.cluster and (log is None or given.files):
        raise Refused((Fault("--kubernetes", "what is told has to be recorded", "--log PATH, and no -f"),))
    beside = _Beside()
    with ExitStack() as open_things:
        joined = beside.join(node, log, options.cluster) if options.cluster and log is not None else None
        metrics = beside.show(*options.listen) if options.listen else None
        open_things.enter_context(beside.background)
        # Wait until a new log matches the cluster; until then the rules in the kernel stay.
        handover = joined.settle(log) if joined is not None and log is not None else Handoff()
        source = _source_of(selection, log, handover)
        made = AssembledAgent.of(selection, access, source, log, options.budget, beside.outlets, open_things)
        if metrics is not None:
            counters = partial(counted, SystemRunner(access.netns), made.kernel.name)
            metrics.watch(given.log, counters, joined.lag if joined else dict)
        made.agent.run(made.state)
        if options.remove_on_exit:
            remove(made.kernel, made.watch)


class _Beside:
    """Listeners of an agent, and the background work beside its loop."""

    def __init__(self) -> None:
        self.outlets, self.background, self._vitals = AgentListeners(), AsyncWorker(), AgentHealth(time.monotonic)
        self._vitals.beside = lambda: self.background.alive

    def join(self, node: str, log: EventLog, cluster: ClusterAccess) -> "AgentUplink":
        """Start to record the cluster in the log, and to report to the cluster what the agent does.

        Raises:
            Refused: the extra for Kubernetes is missing, or the credentials cannot be used.
            LogError: the existing log cannot be read or verified.
        """
        joined = wiring.agent_uplink(node, log, cluster.kubeconfig, cluster.context, SystemRandom())
        joined.join(log, self.background, self.outlets)
        return joined

    def show(self, address: str, port: int) -> "NodeMetrics":
        """Serve health and metrics by HTTP; return the metrics."""
        metrics, vitals, outlets = wiring.node_metrics(), self._vitals, self.outlets
        pages = wiring.telemetry_server(address, port, vitals.health, vitals.readiness, metrics.text)
        self.background.add("pages", pages.run)
        outlets.on_took.append(metrics.took)
        outlets.on_did.append(metrics.did)
        outlets.on_in_force.extend((metrics.in_force, lambda *_: vitals.enforced()))
        outlets.on_turned.append(lambda _: vitals.turned())
        return metrics


@dataclass(frozen=True, slots=True)
class AssembledAgent:
    """Agent that is ready to run, with its first cluster state and its kernel."""

    agent: Agent
    state: ClusterState
    kernel: ToolBackend
    watch: wiring.SystemStopwatch

    @classmethod
    def of(
        cls,
        selection: Selection,
        access: NodeAccess,
        source: EventSource,
        log: LogWriter | None,
        budget: Callable[[], Budget],
        outlets: AgentListeners,
        open_things: ExitStack,
    ) -> Self:
        """Lock the node and build its agent; ``open_things`` closes the lock and the watches.

        Args:
            selection: the node, and its options.
            access: access to the kernel and the host of the node.
            source: the source of the cluster state.
            log: the log for outcomes, None to record nothing.
            budget: returns the limits for one proof.
            outlets: the listeners for what the agent does.
            open_things: the stack that owns the lock and the watches.

        Raises:
            Refused: another nodewall holds the node, or an apply awaits confirmation.
            LogError: the log cannot be read or verified.
            KernelError: a tool is missing or failed.
        """
        node, state = selection.node, source.start()
        if isinstance(source, LogSource):
            open_things.enter_context(source.log.attached())
        held = open_things.enter_context(access.lock())
        access.check_settled()
        kernel = access.kernel(backend_of(selection.options, state), held)
        changes = open_things.enter_context(access.rule_changes(kernel.name))
        if found := mixed_backends_note(kernel):
            _LOG.warning("two backends", note=found)
        written = open_things.enter_context(watch) if (watch := _watch_of(source)) else None
        wakeups = access.wakeups(changes.descriptor, written)
        journal = Journal(node, state, log, "nodewall agent", required=False, told=outlets.did)
        remembered, stopwatch = CachedKernel(kernel, changes), wiring.SystemStopwatch(told=outlets.took)
        guards = access.guards(node, budget)
        nodes = NodeRuleReconciler(remembered, guards, stopwatch, begin=journal.begun)
        cleared = cache(lambda: clear_others(kernel, stopwatch))  # runs only after the first apply
        outlets.on_in_force.append(lambda *_: cleared())
        agent = Agent(
            node=node,
            source=source,
            keeper=RulesetEnforcer(remembered, nodes, journal, wakeups.now),
            judge_in=guards.judge_in,
            wakeups=wakeups,
            observe_host=partial(access.observe_host, node, held),
            forget_connections=partial(access.forget_connections, held=held),
            enforced=outlets.in_force,
            switch=access.kill_switch(lambda: remove(kernel, stopwatch)),
            turned=outlets.turned,
        )
        return cls(agent, state, kernel, stopwatch)


def _watch_of(source: EventSource) -> LogWatch | None:
    """Return a watch for writes to the log, or None if the agent has to poll."""
    if not isinstance(source, LogSource):
        return None
    try:
        return source.log.watch()
    except OSError as error:
        _LOG.warning("the log is asked for news again and again", error=str(error))
        return None


def _source_of(selection: Selection, log: FollowedLog | None, handover: Handoff) -> EventSource:
    """Return the log as a source that is followed, or the state of manifests as a fixed source."""
    if log is None or selection.options.files:
        return FixedSource(selection.state)
    return LogSource(log, partial(effective_configuration, selection.options), handover)
