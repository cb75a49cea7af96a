"""``agent``: keeps a node until it is told to end."""

import time
from contextlib import ExitStack
from functools import partial
from random import SystemRandom

import click
import structlog

from adapters import wiring
from adapters.agent import Agent
from adapters.cli.options import KubernetesOptions, LimitOptions, agent_options, kubernetes_options, limit_options
from adapters.confirmation import settled
from adapters.eventlog import SqliteLog
from adapters.filewatch import FileWatch
from adapters.guards import Guards
from adapters.journal import Journal
from adapters.keeper import Keeper
from adapters.kernel import mixture
from adapters.limits import budget
from adapters.nodelock import node_lock
from adapters.process import SystemRunner
from adapters.remembered import RememberedKernel
from adapters.removal import clear_rules, remove
from adapters.sources import FixedSource, LogSource, Source
from adapters.world import WorldOptions, backend_of, configured, node_of, state_of
from engine.errors import Fault, Refused
from engine.reconcile import NodeRuleReconciler

_LOG = structlog.get_logger(__name__)


@click.command("agent")
@agent_options
@limit_options
@click.option("--remove-on-exit", is_flag=True, help="Take the rules off the node when the agent ends.")
@click.option("--kubernetes", is_flag=True, help="Record in the log what a cluster's API server tells.")
@kubernetes_options
def agent_command(
    world: WorldOptions, limits: LimitOptions, remove_on_exit: bool, kubernetes: bool, cluster: KubernetesOptions
) -> None:
    """Keep a node's rules in force: follow the log, and undo what others do to them.

    Ends by SIGTERM or SIGINT, and leaves the rules in force.
    """
    node, log = node_of(world), wiring.event_log(world.log) if world.log else None
    if kubernetes and (log is None or world.files):
        raise Refused((Fault("--kubernetes", "what is told has to be recorded", "--log PATH, and no -f"),))
    with ExitStack() as open_things:
        if kubernetes and log is not None:
            background = wiring.background(log.path, cluster.kubeconfig, cluster.context, SystemRandom())
            open_things.enter_context(background)
            if not log.exists:
                background.settle()  # until then whatever is in force stays
        source = _source_of(world, log)
        state = source.start()
        if isinstance(source, LogSource):
            open_things.enter_context(source.log.file.attached())
        held = open_things.enter_context(node_lock(world.netns))
        settled(world.netns)
        kernel = wiring.kernel(world.netns, backend_of(world, state), held)
        changes = wiring.rule_changes(kernel.backend, world.netns)
        open_things.enter_context(changes)
        if found := mixture(kernel):
            _LOG.warning("two backends", note=found)
        journal = Journal(node, state, log, "nodewall agent", required=False)
        remembered, watch = RememberedKernel(kernel, changes), wiring.SystemStopwatch()
        guards = Guards(node, world.netns, partial(budget, limits.max_seconds, limits.max_memory))
        nodes = NodeRuleReconciler(remembered, guards, watch, begin=journal.begun)
        agent = Agent(
            node=node,
            netns=world.netns,
            runner=SystemRunner(world.netns, held),
            source=source,
            keeper=Keeper(remembered, nodes, journal, time.monotonic),
            judge_in=guards.judge_in,
            told_by=changes.descriptor,
            written=open_things.enter_context(written) if (written := _written(source)) else None,
            enforced=lambda: clear_rules(kernel.other, watch),
        )
        agent.run(state)
        if remove_on_exit:
            remove(kernel, watch)


def _written(source: Source) -> FileWatch | None:
    if not isinstance(source, LogSource):
        return None
    try:
        return FileWatch(source.log.path)
    except OSError as error:
        _LOG.warning("the log is asked for news again and again", error=str(error))
        return None


def _source_of(world: WorldOptions, log: SqliteLog | None) -> Source:
    if log is None or world.files:
        return FixedSource(state_of(world))
    return LogSource(log, partial(configured, world))
