"""Assembly of the agent: puts it together from options and adapters, and runs it.

Input are a selection, options and access to the node. Errors: ``Refused`` for options that contradict each other, for a
node that another nodewall holds, and for an apply that awaits confirmation; ``LogError`` and ``KernelError``.
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
from adapters.application.selection import Selection, backend_of, configured
from adapters.eventlog.handoff import Handoff
from adapters.eventlog.sources import EventSource, FixedSource, LogSource
from adapters.netfilter.backends import ToolBackend, mixture
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
    """Credentials of an API server."""

    kubeconfig: str | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """Limits and surroundings of an agent."""

    budget: Callable[[], Budget]
    """What each proof may use."""
    remove_on_exit: bool = False
    cluster: ClusterAccess | None = None
    """Cluster that is recorded and reported to, if any."""
    listen: tuple[str, int] | None = None
    """Address and port of the pages for probes and Prometheus, if any."""


def run_agent(selection: Selection, access: NodeAccess, options: AgentOptions) -> None:
    """Keep the rules of the selected node enforced until SIGTERM or SIGINT comes."""
    given, node = selection.options, selection.node
    log = wiring.event_log(given.log) if given.log else None
    if options.cluster and (log is None or given.files):
        raise Refused((Fault("--kubernetes", "what is told has to be recorded", "--log PATH, and no -f"),))
    beside = _Beside()
    with ExitStack() as open_things:
        joined = beside.join(node, log, options.cluster) if options.cluster and log is not None else None
        metrics = beside.show(*options.listen) if options.listen else None
        open_things.enter_context(beside.background)
        # Until a new log is as the cluster is, whatever is in force stays.
        handover = joined.settle(log) if joined is not None and log is not None else Handoff()
        source = _source_of(selection, log, handover)
        made = Assembled.of(selection, access, source, log, options.budget, beside.outlets, open_things)
        if metrics is not None:
            counters = partial(counted, SystemRunner(access.netns), made.kernel.name)
            metrics.watch(given.log, counters, joined.lag if joined else dict)
        made.agent.run(made.state)
        if options.remove_on_exit:
            remove(made.kernel, made.watch)


class _Beside:
    """Listeners of an agent and the work beside its loop."""

    def __init__(self) -> None:
        self.outlets, self.background, self._vitals = AgentListeners(), AsyncWorker(), AgentHealth(time.monotonic)
        self._vitals.beside = lambda: self.background.alive

    def join(self, node: str, log: EventLog, cluster: ClusterAccess) -> "AgentUplink":
        """Have a cluster recorded in the log and told what the agent does."""
        joined = wiring.node_in_cluster(node, log, cluster.kubeconfig, cluster.context, SystemRandom())
        joined.join(log, self.background, self.outlets)
        return joined

    def show(self, address: str, port: int) -> "NodeMetrics":
        """Have health and metrics shown by HTTP."""
        metrics, vitals, outlets = wiring.node_metrics(), self._vitals, self.outlets
        pages = wiring.pages(address, port, vitals.health, vitals.readiness, metrics.text)
        self.background.add("pages", pages.run)
        outlets.on_took.append(metrics.took)
        outlets.on_did.append(metrics.did)
        outlets.on_in_force.extend((metrics.in_force, lambda *_: vitals.enforced()))
        outlets.on_turned.append(lambda _: vitals.turned())
        return metrics


@dataclass(frozen=True, slots=True)
class Assembled:
    """An agent, the state that it begins with, and the kernel that it keeps."""

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
        """Return the agent that a selection asks for, its node locked; what it opens is closed with ``open_things``."""
        node, state = selection.node, source.start()
        if isinstance(source, LogSource):
            open_things.enter_context(source.log.attached())
        held = open_things.enter_context(access.lock())
        access.check_settled()
        kernel = access.kernel(backend_of(selection.options, state), held)
        changes = open_things.enter_context(access.rule_changes(kernel.name))
        if found := mixture(kernel):
            _LOG.warning("two backends", note=found)
        written = open_things.enter_context(watch) if (watch := _watch_of(source)) else None
        wakeups = access.wakeups(changes.descriptor, written)
        journal = Journal(node, state, log, "nodewall agent", required=False, told=outlets.did)
        remembered, stopwatch = CachedKernel(kernel, changes), wiring.SystemStopwatch(told=outlets.took)
        guards = access.guards(node, budget)
        nodes = NodeRuleReconciler(remembered, guards, stopwatch, begin=journal.begun)
        cleared = cache(lambda: clear_others(kernel, stopwatch))  # only the first time
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
    if not isinstance(source, LogSource):
        return None
    try:
        return source.log.watch()
    except OSError as error:
        _LOG.warning("the log is asked for news again and again", error=str(error))
        return None


def _source_of(selection: Selection, log: FollowedLog | None, handover: Handoff) -> EventSource:
    if log is None or selection.options.files:
        return FixedSource(selection.state)
    return LogSource(log, partial(configured, selection.options), handover)
