"""``agent``: keeps a node until it is told to end."""

import time
from collections.abc import Sequence
from functools import partial

import click
import structlog

from adapters import wiring
from adapters.agent import Agent
from adapters.cli.options import LimitOptions, agent_options, limit_options
from adapters.confirmation import settled
from adapters.eventlog import SqliteLog
from adapters.journal import Journal
from adapters.keeper import Keeper
from adapters.kernel import mixture
from adapters.limits import budget
from adapters.nodelock import node_lock
from adapters.notifications import RuleNotifications
from adapters.process import SystemRunner
from adapters.remembered import RememberedKernel
from adapters.removal import clear_rules, remove
from adapters.sources import FixedSource, LogSource, Source
from adapters.world import WorldOptions, backend_of, configured, node_of, state_of
from engine.passages import Passage
from engine.ports import Judgement
from engine.reconcile import NodeRuleReconciler
from engine.ruleset import Ruleset
from engine.state import ClusterState
from simulator.guard import Guard

_LOG = structlog.get_logger(__name__)


@click.command("agent")
@agent_options
@limit_options
@click.option("--remove-on-exit", is_flag=True, help="Take the rules off the node when the agent ends.")
def agent_command(world: WorldOptions, limits: LimitOptions, remove_on_exit: bool) -> None:
    """Keep a node's rules in force: follow the log, and undo what others do to them.

    Ends by SIGTERM or SIGINT, and leaves the rules in force.
    """
    node, log = node_of(world), wiring.event_log(world.log) if world.log else None
    source = _source_of(world, log)
    state = source.start()
    with node_lock(world.netns) as lock, RuleNotifications(world.netns) as notifications:
        settled(world.netns)
        kernel = wiring.kernel(world.netns, backend_of(world, state), lock)
        if found := mixture(kernel):
            _LOG.warning("two backends", note=found)
        journal = Journal(node, state, log, "nodewall agent", required=False)
        remembered, watch = RememberedKernel(kernel, notifications), wiring.SystemStopwatch()
        guards = _Guards(node, world.netns, limits)
        nodes = NodeRuleReconciler(remembered, guards, watch, begin=journal.begun)
        agent = Agent(
            node=node,
            netns=world.netns,
            runner=SystemRunner(world.netns, (lock,)),
            source=source,
            keeper=Keeper(remembered, nodes, journal, time.monotonic),
            judge_in=guards.judge_in,
            notifications=notifications,
            enforced=lambda: clear_rules(kernel.other, watch),
        )
        agent.run(state)
        if remove_on_exit:
            remove(kernel, watch)


def _source_of(world: WorldOptions, log: SqliteLog | None) -> Source:
    if log is None or world.files:
        return FixedSource(state_of(world))
    return LogSource(log, partial(configured, world))


class _Guards:
    """The guard of the state that was named last: the one before where it would judge the same, as it knows the rules.

    Each judgement may take as much as the limits say.
    """

    def __init__(self, node: str, netns: str, limits: LimitOptions) -> None:
        self._node, self._netns, self._limits = node, netns, limits
        self._guard = Guard()

    def judge_in(self, state: ClusterState) -> None:
        """Judge from now on as it is right in this state."""
        guard = wiring.verifier(state, self._node, self._netns, self._guard.budget)
        if guard != self._guard:
            self._guard = guard

    def judge(self, before: Ruleset, after: Ruleset, passages: Sequence[Passage]) -> Judgement:
        self._guard.budget = budget(self._limits.max_seconds, self._limits.max_memory)
        return self._guard.judge(before, after, passages)
