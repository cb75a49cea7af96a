"""Agent of a Node: applies the desired rules after each change of the cluster state, and repairs drift.

Input: a ``ClusterState``, then events of an :class:`EventSource` (event log or manifests). Output: rules in the kernel.
One thread runs one loop. It sleeps until the kernel reports a change, a scheduled time comes, or a signal arrives.

The existing rules stay in the kernel until the first plan is proved safe, after errors, and after the agent ends.
:mod:`adapters.node.wakeups` provides clock and waiting, so that tests need not wait.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

import structlog

from adapters.eventlog.sources import EventSource
from adapters.node.drift import RulesetEnforcer
from adapters.node.wakeups import Wake, Wakeups
from adapters.system.gc_tuning import trim_heap
from engine.desired.full import DesiredRuleset
from engine.desired.incremental import Derivation, derive
from engine.errors import EnforcementDisabled, NodewallError
from engine.events import HostObserved
from engine.rulesets.model import Ruleset
from engine.state.fold import ClusterState

_LOG = structlog.get_logger(__name__)

_LISTEN, _LISTEN_BESIDES = 0.05, 0.5
"""Seconds between two polls of the event source; the second value applies if writes to the log also end a wait."""

_EAGER, _SOON = 0.1, 0.004
"""Seconds for which the log is polled more often after a write, and the seconds between these polls.

A written event becomes readable only a short time after the wakeup.
"""

_LOOK, _SHARE = 1.0, 5
"""Seconds between two reads of all sets, or this multiple of the duration of a read if that is longer.

The kernel does not report changes of sets, so they are polled.
"""

_ASK = 0.2
"""Seconds between two polls for changed rules, used if the kernel does not report them."""

_HOST = 10.0
"""Seconds between two reads of the host's interfaces and DNS servers."""

_RETRIES = (1.0, 2.0, 5.0, 15.0, 30.0)
"""Seconds before each retry after consecutive failures; the last value repeats."""


class KillSwitch(Protocol):
    """Switch by which an operator removes all nodewall rules from a node."""

    @property
    def off(self) -> bool:
        """True if the rules must be off."""
        ...

    @property
    def path(self) -> str:
        """Path of the file that switches the rules off while it exists."""
        ...

    def withdraw(self) -> object:
        """Remove all rules of nodewall from the node."""
        ...


@dataclass(slots=True)
class Agent:
    """Loop that keeps the rules of a node as the event source declares them.

    ``judge_in`` sets the cluster state by which the lockout guard judges plans.
    """

    node: str
    source: EventSource
    keeper: RulesetEnforcer
    judge_in: Callable[[ClusterState], None]
    wakeups: Wakeups
    """Clock, and the events that end a wait; the kernel and the source are polled if their changes do not."""
    observe_host: Callable[[], HostObserved]
    """Returns the current interfaces and DNS servers of the node."""
    forget_connections: Callable[[Ruleset], object]
    """Deletes tracked connections that the given rules do not admit."""
    enforced: Callable[[DesiredRuleset, Sequence[datetime]], object]
    """Called after each successful apply, with the record times of the events that changed the desired rules."""
    switch: KillSwitch
    """Kill switch; while it is off, the node has no rules of nodewall."""
    turned: Callable[[Derivation], float | None] = lambda _: None
    """Called after each turn of the loop with the current derivation.

    Returns the latest time of the next turn in seconds, by the clock of ``wakeups``; None means no limit.
    """
    _derivation: Derivation = field(init=False)
    _due: dict[str, float] = field(default_factory=dict, init=False)
    """Task name -> time when it is due; ``enforce`` is absent while no apply is needed."""
    _eager_until: float = field(default=0.0, init=False)
    _failures: int = field(default=0, init=False)
    _off: bool = field(default=False, init=False)
    _held: object = field(default=None, init=False)
    """The desired rules of the last successful apply, None before the first and while the switch is off."""
    _since: list[datetime] = field(default_factory=list, init=False)
    """Record times of events whose changes are not applied yet."""
    _looked: tuple[float, float] = field(default=(0.0, 0.0), init=False)
    """Times when the last drift check began and ended."""
    _whole: float = field(default=0.0, init=False)
    """Time from which a drift check reads all sets again."""

    def run(self, state: ClusterState) -> None:
        """Run the loop until SIGTERM or SIGINT arrives, beginning with a cluster state."""
        self._derivation = derive(self._with_host(state), self.node)
        self._due = {"look": 0.0, "host": self.wakeups.now() + _HOST, "enforce": 0.0}
        if Wake.RULES not in self.wakeups.wake_reasons:
            self._due["ask"] = 0.0
        with self.wakeups.opened() as wait:
            woken = frozenset[Wake]()
            while Wake.STOP not in woken:
                self._turn()
                woken = wait(self._sleep())
                if Wake.LOG in woken:
                    self._eager_until = self.wakeups.now() + _EAGER
                if Wake.RULES in woken:
                    self._told()

    def _told(self) -> None:
        """Schedule a drift check after a report of changed rules.

        The pause after the last check is at least its duration. So the agent does not check without end while other
        programs change their rules without end.
        """
        if not self.keeper.kernel.hear():
            return
        soon = max(self.wakeups.now(), self._looked[1] + self._looked[1] - self._looked[0], self.keeper.held_until)
        self._due["look"] = min(self._due["look"], soon)

    def _sleep(self) -> float:
        now = self.wakeups.now()
        listen = (
            _SOON if now < self._eager_until else _LISTEN_BESIDES if Wake.LOG in self.wakeups.wake_reasons else _LISTEN
        )
        return max(0.0, min(min(self._due.values()) - now, listen))

    def _turn(self) -> None:
        """Perform all tasks that are due."""
        now = self.wakeups.now()
        self._hear(now)
        if now >= self._due.get("ask", now + 1):
            self._told()
            self._due["ask"] = self.wakeups.now() + _ASK
        if now >= self._due["host"]:
            self._see_host(now)
        if self.switch.off:
            self._switch_off(now)
        elif now >= self._due.get("enforce", now + 1):
            self._enforce(now)
        elif now >= self._due["look"]:
            self._look(now)
        self._due["turn"] = self.turned(self._derivation) or math.inf

    def _switch_off(self, now: float) -> None:
        """Remove the rules from the node once; the loop applies them again after the switch is on."""
        self._held, self._due["enforce"], self._due["look"] = None, now + _LISTEN, now + _LISTEN
        if self._off:
            return
        try:
            self.switch.withdraw()
        except NodewallError as error:
            self._failed(error, now)
            return
        self._off = True
        self.keeper.kernel.distrust_sets()
        self.keeper.failed(EnforcementDisabled(self.switch.path))

    def _hear(self, now: float) -> None:
        try:
            if news := self.source.news():
                before, self._derivation = self._derivation, self._derivation.through(each.body for each in news)
                if self._derivation.desired is not before.desired:
                    self._since.append(news[0].time)
                self._eager_until = 0.0
        except NodewallError as error:
            _LOG.error("no news", error=str(error))
            return
        if self._derivation.desired is not self._held and "enforce" not in self._due:
            self._due["enforce"] = now

    def _see_host(self, now: float) -> None:
        self._due["host"] = now + _HOST
        trim_heap()  # the first proof and a series of changes free much memory
        state = self._with_host(self._derivation.state)
        if state is not self._derivation.state:
            self._derivation = derive(state, self.node)

    def _with_host(self, state: ClusterState) -> ClusterState:
        """Return the state with the observed host facts; record them if they are new."""
        try:
            seen = self.observe_host()
        except NodewallError as error:
            _LOG.error("host not seen", error=str(error))
            return state
        if state.hosts.get(self.node) == seen:
            return state
        self.keeper.journal.append(seen)
        return replace(state, hosts=state.hosts.set(self.node, seen))

    def _enforce(self, now: float) -> None:
        self._off = False
        del self._due["enforce"]
        wanted = self._derivation.desired
        if wanted is None:
            return  # the cluster lacks the node, perhaps not yet; the rules in the kernel stay
        self.keeper.journal.state = self._derivation.state
        try:
            self.judge_in(self._derivation.state)
            self.keeper.enforce(wanted)
            if self._derivation.state.config.enforce_established:
                self.forget_connections(self.keeper.nodes.in_force)
        except NodewallError as error:
            self._failed(error, now)
            return
        self.enforced(wanted, self._since)
        self._failures, self._held, self._since = 0, wanted, []
        if self.keeper.nodes.failed:
            self._due["enforce"] = now + _RETRIES[-1]  # the kernel may accept the refused rules later

    def _failed(self, error: NodewallError, now: float) -> None:
        self.keeper.failed(error)
        self._due["enforce"] = now + _RETRIES[min(self._failures, len(_RETRIES) - 1)]
        self._failures += 1

    def _look(self, now: float) -> None:
        """Detect drift and repair it; before the first apply, change nothing."""
        if self._held is None:
            self._due["look"] = now + _LOOK
            return
        whole = now >= self._whole
        if whole:
            self.keeper.kernel.distrust_sets()
        try:
            self.keeper.repair()
        except NodewallError as error:
            self._failed(error, now)
        self._looked = (now, self.wakeups.now())
        if whole:
            self._whole = self._looked[1] + max(_LOOK, _SHARE * (self._looked[1] - now))
        self._due["look"] = max(self._whole, self.keeper.held_until)
