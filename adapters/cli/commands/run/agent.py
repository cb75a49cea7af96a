"""``agent``: keeps a node until it is told to end."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from random import SystemRandom
from typing import TYPE_CHECKING, Self

import click
import structlog

from adapters import wiring
from adapters.application.node_guard import NodeGuard
from adapters.application.selection import SelectionOptions, backend_of, configured, node_of, state_of
from adapters.cli.options import (
    KubernetesOptions,
    LimitOptions,
    ListenAddress,
    agent_options,
    kubernetes_options,
    limit_options,
    listen_option,
)
from adapters.eventlog.handoff import Handoff
from adapters.eventlog.sources import EventSource, FixedSource, LogSource
from adapters.netfilter.backends import ToolBackend, mixture
from adapters.netfilter.cached import CachedKernel
from adapters.netfilter.counters import counted
from adapters.node.agent import Agent
from adapters.node.commit_confirm import settled
from adapters.node.drift import RulesetEnforcer
from adapters.node.journal import Journal
from adapters.node.kill_switch import FileKillSwitch
from adapters.node.listeners import AgentListeners
from adapters.node.node_lock import node_lock
from adapters.node.removal import clear_others, remove
from adapters.system.async_worker import AsyncWorker
from adapters.system.budgets import budget
from adapters.system.process import SystemRunner
from adapters.telemetry.health import AgentHealth
from engine.errors import Fault, Refused
from engine.reconcile.interfaces import FollowedLog, LogWatch, LogWriter
from engine.reconcile.reconciler import NodeRuleReconciler
from engine.state.fold import ClusterState

if TYPE_CHECKING:
    from adapters.telemetry.metrics import NodeMetrics

_LOG = structlog.get_logger(__name__)


@click.command("agent")
@agent_options
@limit_options
@click.option("--remove-on-exit", is_flag=True, help="Take the rules off the node when the agent ends.")
@click.option("--kubernetes", is_flag=True, help="Record what a cluster's API server tells, and report to it.")
@kubernetes_options
@listen_option
def agent_command(
    world: SelectionOptions,
    limits: LimitOptions,
    remove_on_exit: bool,
    kubernetes: bool,
    cluster: KubernetesOptions,
    listen: ListenAddress | None,
) -> None:
    """Keep a node's rules in force: follow the log, and undo what others do to them.

    Ends by SIGTERM or SIGINT, and leaves the rules in force.
    """
    node, log = node_of(world), wiring.event_log(world.log) if world.log else None
    if kubernetes and (log is None or world.files):
        raise Refused((Fault("--kubernetes", "what is told has to be recorded", "--log PATH, and no -f"),))
    outlets, background, vitals = AgentListeners(), AsyncWorker(), AgentHealth(time.monotonic)
    vitals.beside = lambda: background.alive
    with ExitStack() as open_things:
        joined = None
        if kubernetes and log is not None:
            joined = wiring.node_in_cluster(node, log, cluster.kubeconfig, cluster.context, SystemRandom())
            joined.join(log, background, outlets)
        metrics = _shown(listen, background, outlets, vitals) if listen else None
        open_things.enter_context(background)
        # Until a new log is as the cluster is, whatever is in force stays.
        handover = joined.settle(log) if joined is not None and log is not None else Handoff()
        made = _Made.of(world, _source_of(world, log, handover), log, limits, outlets, open_things)
        if metrics is not None:
            counters = partial(counted, SystemRunner(world.netns), made.kernel.name)
            metrics.watch(world.log, counters, joined.lag if joined else dict)
        made.agent.run(made.state)
        if remove_on_exit:
            remove(made.kernel, made.watch)


def _shown(
    listen: ListenAddress, background: AsyncWorker, outlets: AgentListeners, vitals: AgentHealth
) -> "NodeMetrics":
    """Have what is measured shown, and return it."""
    metrics = wiring.node_metrics()
    pages = wiring.pages(listen.address, listen.port, vitals.health, vitals.readiness, metrics.text)
    background.add("pages", pages.run)
    outlets.on_took.append(metrics.took)
    outlets.on_did.append(metrics.did)
    outlets.on_in_force.extend((metrics.in_force, lambda *_: vitals.enforced()))
    outlets.on_turned.append(lambda _: vitals.turned())
    return metrics


@dataclass(frozen=True, slots=True)
class _Made:
    """An agent and what it works with."""

    agent: Agent
    state: ClusterState
    kernel: ToolBackend
    watch: wiring.SystemStopwatch

    @classmethod
    def of(
        cls,
        world: SelectionOptions,
        source: EventSource,
        log: LogWriter | None,
        limits: LimitOptions,
        outlets: AgentListeners,
        open_things: ExitStack,
    ) -> Self:
        """Return the agent that options ask for, its node locked; what it opens is closed with ``open_things``."""
        node, state = node_of(world), source.start()
        if isinstance(source, LogSource):
            open_things.enter_context(source.log.attached())
        held = open_things.enter_context(node_lock(world.netns))
        settled(world.netns)
        kernel = wiring.kernel(world.netns, backend_of(world, state), held)
        changes = wiring.rule_changes(kernel.name, world.netns)
        open_things.enter_context(changes)
        if found := mixture(kernel):
            _LOG.warning("two backends", note=found)
        journal = Journal(node, state, log, "nodewall agent", required=False, told=outlets.did)
        remembered, watch = CachedKernel(kernel, changes), wiring.SystemStopwatch(told=outlets.took)
        guards = NodeGuard(node, world.netns, partial(budget, limits.max_seconds, limits.max_memory))
        nodes = NodeRuleReconciler(remembered, guards, watch, begin=journal.begun)
        cleared = cache(lambda: clear_others(kernel, watch))  # only the first time
        outlets.on_in_force.append(lambda *_: cleared())
        agent = Agent(
            node=node,
            netns=world.netns,
            runner=SystemRunner(world.netns, held),
            source=source,
            keeper=RulesetEnforcer(remembered, nodes, journal, time.monotonic),
            judge_in=guards.judge_in,
            told_by=changes.descriptor,
            written=open_things.enter_context(written) if (written := _written(source)) else None,
            enforced=outlets.in_force,
            switch=FileKillSwitch(world.netns, lambda: remove(kernel, watch)),
            turned=outlets.turned,
        )
        return cls(agent, state, kernel, watch)


def _written(source: EventSource) -> LogWatch | None:
    if not isinstance(source, LogSource):
        return None
    try:
        return source.log.watch()
    except OSError as error:
        _LOG.warning("the log is asked for news again and again", error=str(error))
        return None


def _source_of(world: SelectionOptions, log: FollowedLog | None, handover: Handoff) -> EventSource:
    if log is None or world.files:
        return FixedSource(state_of(world))
    return LogSource(log, partial(configured, world), handover)
