"""The agent of a node: hears of changes, brings them into force, and undoes what others do to its rules.

One thread and one loop, which sleeps until the kernel tells of a change, a moment comes that was set, or a signal. What
is in force stays in force until the first plan is proved, whatever fails, and when the agent ends. Time and waiting
come from :mod:`adapters.node.wakeups`, so that tests run the loop without waiting.
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
from adapters.system.gc_tuning import give_back
from engine.desired.full import DesiredRuleset
from engine.desired.incremental import Derivation, derive
from engine.errors import EnforcementDisabled, NodewallError
from engine.events import HostObserved
from engine.rulesets.model import Ruleset
from engine.state.fold import ClusterState

_LOG = structlog.get_logger(__name__)

_LISTEN, _LISTEN_BESIDES = 0.05, 0.5
"""Seconds between two questions for news, and where it is told too that there may be any."""

_EAGER, _SOON = 0.1, 0.004
"""For how many seconds what was written is waited for, as it can be read only a while later, and asked how often."""

_LOOK, _SHARE = 1.0, 5
"""Seconds between two looks at sets, which nobody tells of, or so many times what a look takes."""

_ASK = 0.2
"""Seconds between two questions whether rules have changed, where the kernel does not tell."""

_HOST = 10.0
"""Seconds between two looks at the host's interfaces and DNS servers."""

_RETRIES = (1.0, 2.0, 5.0, 15.0, 30.0)
"""Seconds until what failed is tried again."""


class KillSwitch(Protocol):
    """Takes a node's rules off it, as somebody there wants it."""

    @property
    def off(self) -> bool:
        """Whether it is wanted so."""
        ...

    @property
    def path(self) -> str:
        """What to change so that it is not."""
        ...

    def withdraw(self) -> object:
        """Take all rules off the node."""
        ...


@dataclass(slots=True)
class Agent:
    """Keeps a node as the source tells of it; ``judge_in`` is told the state that plans are judged in."""

    node: str
    source: EventSource
    keeper: RulesetEnforcer
    judge_in: Callable[[ClusterState], None]
    wakeups: Wakeups
    """Time, and what ends a wait; the kernel and the source are polled where it does not tell of them."""
    observe_host: Callable[[], HostObserved]
    """Returns the interfaces and DNS servers that the node has now."""
    forget_connections: Callable[[Ruleset], object]
    """Deletes tracked connections that rules would not admit."""
    enforced: Callable[[DesiredRuleset, Sequence[datetime]], object]
    """Called whenever rules came into force, with the times of the events that wanted them."""
    switch: KillSwitch
    """Says whether somebody on the node wants no rules there."""
    turned: Callable[[Derivation], float | None] = lambda _: None
    """Called after every turn of the loop with what is wanted now; returns when there has to be another turn."""
    _derivation: Derivation = field(init=False)
    _due: dict[str, float] = field(default_factory=dict, init=False)
    _eager_until: float = field(default=0.0, init=False)
    _failures: int = field(default=0, init=False)
    _off: bool = field(default=False, init=False)
    _held: object = field(default=None, init=False)
    _since: list[datetime] = field(default_factory=list, init=False)
    """When it was put on record what is not in force yet."""
    _looked: tuple[float, float] = field(default=(0.0, 0.0), init=False)
    """When the last look began and ended."""
    _whole: float = field(default=0.0, init=False)
    """When the next look has to be at everything."""

    def run(self, state: ClusterState) -> None:
        """Keep the node until SIGTERM or SIGINT comes."""
        self._derivation = derive(self._with_host(state), self.node)
        self._due = {"look": 0.0, "host": self.wakeups.now() + _HOST, "enforce": 0.0}
        if Wake.RULES not in self.wakeups.relevant_event:
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
        """Look at what has changed, but not all the time where others change their rules all the time."""
        if not self.keeper.kernel.hear():
            return
        soon = max(self.wakeups.now(), self._looked[1] + self._looked[1] - self._looked[0], self.keeper.held_until)
        self._due["look"] = min(self._due["look"], soon)

    def _sleep(self) -> float:
        now = self.wakeups.now()
        listen = (
            _SOON
            if now < self._eager_until
            else _LISTEN_BESIDES
            if Wake.LOG in self.wakeups.relevant_event
            else _LISTEN
        )
        return max(0.0, min(min(self._due.values()) - now, listen))

    def _turn(self) -> None:
        """Do what is due."""
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
        """Take the rules off the node, once; they come back when the switch is on."""
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
        give_back()  # much is free after the first proof, and after many changes
        state = self._with_host(self._derivation.state)
        if state is not self._derivation.state:
            self._derivation = derive(state, self.node)

    def _with_host(self, state: ClusterState) -> ClusterState:
        """Return the state with what the node is seen to have, put on record where it is new."""
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
            return  # the node is not there, or not yet; what is in force stays
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
            self._due["enforce"] = now + _RETRIES[-1]  # what the kernel lacks may come

    def _failed(self, error: NodewallError, now: float) -> None:
        self.keeper.failed(error)
        self._due["enforce"] = now + _RETRIES[min(self._failures, len(_RETRIES) - 1)]
        self._failures += 1

    def _look(self, now: float) -> None:
        """See whether others changed what is ours, and put it right; what is there before the first apply stays."""
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
