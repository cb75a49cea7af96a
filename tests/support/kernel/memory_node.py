"""In-memory Node: kernel, clock, host facts and kill switch, and an agent assembled on it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Self

from adapters.application.agent_assembly import AssembledAgent
from adapters.application.node_access import NodeAccess
from adapters.application.node_guard import StateVerifier
from adapters.application.selection import Selection, SelectionOptions
from adapters.eventlog.in_memory import MemoryLog
from adapters.eventlog.sources import SourceUpdate
from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.backends import ToolBackend
from adapters.netfilter.iptables import NFT, IptablesBackend
from adapters.netfilter.memory import MemoryBackend
from adapters.node.listeners import AgentListeners
from adapters.node.wakeups import Wait, Wake
from adapters.system.clock import CountedIds, FixedClock
from adapters.system.process import NetnsHold, ScriptedRunner
from engine.errors import NodewallError
from engine.events import EventBody, HostObserved
from engine.reconcile.interfaces import PlanProof, Verifier
from engine.reconcile.log_interfaces import LogWatch
from engine.rulesets.diff import diff
from engine.rulesets.model import Family, IpSet, Ruleset, Table
from engine.rulesets.plan import Step
from engine.rulesets.transitions import IntermediateState
from engine.state.fold import ClusterState
from simulator.symbolic import Budget

NODE = "n"


class HeldBackend(IptablesBackend):
    """Tool backend with its rules and sets in a `MemoryBackend`; the other backend is not installed."""

    def __init__(self, memory: MemoryBackend) -> None:
        super().__init__(ScriptedRunner.of({}), NFT)
        self.memory = memory

    def tables(self, family: Family) -> tuple[Table, ...]:
        """Return the tables of one family."""
        return self.memory.tables(family)

    def sets(self, name: str = "") -> tuple[IpSet, ...]:
        """Return all sets, or only the set called ``name``."""
        return self.memory.sets(name)

    def run(self, step: Step) -> None:
        """Run a step."""
        self.memory.run(step)


class ScriptedVerifier:
    """Verifier that refuses every plan with operations while ``objection`` is set.

    ``states`` are the states that it got, and ``judgements`` is the number of plans.
    """

    def __init__(self) -> None:
        self.objection = ""
        self.judgements = 0
        self.states: list[ClusterState] = []

    def judge_in(self, state: ClusterState) -> None:
        """Record the state."""
        self.states.append(state)

    def judge(self, before: Ruleset, after: Ruleset, passages: Sequence[IntermediateState]) -> PlanProof:  # noqa: ARG002 - the interface's signature
        """Return the objection."""
        self.judgements += 1
        return PlanProof(lost=(self.objection,)) if self.objection and before != after else PlanProof()

    def differing_packets(self, one: Ruleset, other: Ruleset) -> str:  # noqa: ARG002 - as above
        """Return no difference."""
        return ""


class MemorySource:
    """Source that reads an in-memory log, from a given state; it raises ``error`` while that is set."""

    def __init__(self, state: ClusterState, log: MemoryLog) -> None:
        self._state, self._log = replace(state, sequence=0), log
        self._last = 0
        self.error: NodewallError | None = None

    def put(self, *bodies: EventBody) -> None:
        """Append events to the log, as a cluster does."""
        self._log.append(bodies, source="cluster", expected=self._log.last_sequence())

    def start(self) -> ClusterState:
        """Return the state at the beginning."""
        return self._state

    def news(self) -> Sequence[SourceUpdate]:
        """Return the events since the last call, the agent's own outcomes included."""
        if self.error is not None:
            raise self.error
        after, self._last = self._last, self._log.last_sequence()
        return [SourceUpdate(event.body, event.time) for event in self._log.read(after)] if after < self._last else []


@dataclass
class FakeWakeups:
    """Fake clock: a wait returns at once, after the calls that the test planned for the skipped time."""

    wake_reasons: frozenset[Wake] = frozenset(Wake)
    time: float = 0.0
    waits: list[float] = field(default_factory=list)
    _plans: list[tuple[float, Callable[[], object], Wake | None]] = field(default_factory=list)

    def at(self, time: float, what: Callable[[], object], wake: Wake | None = None) -> None:
        """Plan a call for a time; with ``wake``, it also ends the wait."""
        self._plans = sorted([*self._plans, (time, what, wake)], key=lambda plan: plan[0])

    def now(self) -> float:
        """Return the current time."""
        return self.time

    @contextmanager
    def opened(self) -> Iterator[Wait]:
        """Yield the wait function."""
        yield self._wait

    def _wait(self, seconds: float) -> frozenset[Wake]:
        self.waits.append(seconds)
        end = self.time + max(seconds, 0.001)
        while self._plans and self._plans[0][0] <= end:
            time, what, wake = self._plans.pop(0)
            self.time = max(self.time, time)
            what()
            if wake is not None:
                return frozenset({wake})
        self.time = end
        return frozenset()


@dataclass
class MemoryRuleWatch(AbstractContextManager["MemoryRuleWatch"]):
    """Watch that reports the families whose rules differ from those at the last call."""

    memory: MemoryBackend
    descriptor: int | None = 0
    _last: Ruleset | None = None

    def __exit__(self, *_: object) -> None:
        """Do nothing."""

    def families(self) -> frozenset[Family]:
        """Return the families whose rules changed."""
        last, self._last = self._last, self.memory.ruleset
        return frozenset(each for each in Family if last is None or last.tables(each) != self._last.tables(each))


@dataclass
class MemorySwitch:
    """Kill switch that a test sets by ``off``."""

    withdraw: Callable[[], object]
    off: bool = False
    path: str = "/run/nodewall/off"


@dataclass(frozen=True)
class MemoryAccess(NodeAccess):
    """Access to an in-memory Node."""

    memory: MemoryBackend = field(default_factory=MemoryBackend)
    verifier: ScriptedVerifier = field(default_factory=ScriptedVerifier)
    clock: FakeWakeups = field(default_factory=FakeWakeups)
    host: list[HostObserved] = field(default_factory=lambda: [HostObserved(node=NODE)])
    """Host facts; the last ones are current."""
    done: list[str] = field(default_factory=list)
    """Actions without another trace, in order."""
    switches: list[MemorySwitch] = field(default_factory=list)

    def observe_host(self, node: str, held: NetnsHold | None = None) -> HostObserved:  # noqa: ARG002 - the base's signature
        """Return the current host facts."""
        self.done.append("host observed")
        return self.host[-1]

    @contextmanager
    def _lock(self) -> Iterator[NetnsHold]:
        self.done.append("locked")
        try:
            yield NetnsHold(-1, 0)
        finally:
            self.done.append("unlocked")

    def lock(self) -> AbstractContextManager[NetnsHold]:
        """Record the lock and its release."""
        return self._lock()

    def check_settled(self) -> None:
        """Accept, because no apply awaits confirmation."""
        self.done.append("settled")

    def confirmed_within(
        self,
        seconds: float | None,
        backend: BackendName,  # noqa: ARG002 - the base's signature
        record: tuple[str, ...],  # noqa: ARG002 - as above
    ) -> AbstractContextManager[None]:
        """Record the call; nothing is rolled back."""
        self.done.append(f"confirmed within {seconds}")
        return nullcontext()

    def kernel(self, backend: BackendName, held: NetnsHold | None = None) -> ToolBackend:  # noqa: ARG002 - as above
        """Return the in-memory kernel."""
        return HeldBackend(self.memory)

    def guard(self, state: ClusterState, node: str, budget: Budget) -> Verifier:  # noqa: ARG002 - as above
        """Return the scripted verifier."""
        self.verifier.judge_in(state)
        return self.verifier

    def guards(self, node: str, budget: Callable[[], Budget]) -> StateVerifier:  # noqa: ARG002 - as above
        """Return the scripted verifier."""
        return self.verifier

    def rule_changes(self, backend: BackendName) -> "MemoryRuleWatch":  # noqa: ARG002 - as above
        """Return a watch; it has a descriptor only if the clock waits for rule changes."""
        return MemoryRuleWatch(self.memory, 0 if Wake.RULES in self.clock.wake_reasons else None)

    def wakeups(self, rules: int | None, log: LogWatch | None) -> FakeWakeups:  # noqa: ARG002 - as above
        """Return the test's clock."""
        return self.clock

    def kill_switch(self, withdraw: Callable[[], object]) -> MemorySwitch:
        """Return a new switch for the test."""
        self.switches.append(MemorySwitch(withdraw))
        return self.switches[-1]

    def forget_connections(self, rules: Ruleset, held: NetnsHold | None = None) -> int:  # noqa: ARG002 - as above
        """Record the call; no connection is deleted."""
        self.done.append("connections forgotten")
        return 0


@dataclass
class AgentInMemory:
    """Agent assembled on an in-memory Node, and the log that it reads and writes."""

    access: MemoryAccess
    source: MemorySource
    assembled: AssembledAgent
    log: MemoryLog
    outlets: AgentListeners
    stack: ExitStack

    @classmethod
    def of(cls, state: ClusterState, access: MemoryAccess | None = None) -> Self:
        """Assemble the agent of Node ``n``."""
        access, log = access or MemoryAccess(), MemoryLog(FixedClock(), CountedIds(), exists=True)
        source, outlets, stack = MemorySource(state, log), AgentListeners(), ExitStack()
        options = SelectionOptions(node=NODE)
        made = AssembledAgent.of(Selection(options), access, source, log, Budget, outlets, stack)
        return cls(access, source, made, log, outlets, stack)

    @property
    def clock(self) -> FakeWakeups:
        """Clock of the test."""
        return self.access.clock

    @property
    def switch(self) -> MemorySwitch:
        """Kill switch of the agent."""
        return self.access.switches[-1]

    @property
    def recorded(self) -> list[str]:
        """Types of the events that the agent recorded, in order."""
        return [event.body.type for event in self.log.read() if event.source == "nodewall agent"]

    def bodies(self, kind: str) -> list[EventBody]:
        """Return the recorded events of a type, in order."""
        return [event.body for event in self.log.read() if event.body.type == kind]

    def run(self, until: float) -> None:
        """Run the agent until the signal to stop, at a given time."""
        self.clock.at(until, lambda: None, Wake.STOP)
        with self.stack:
            self.assembled.agent.run(self.assembled.state)

    def check(self, time: float, what: Callable[[], object]) -> list[object]:
        """Plan a call for a time; return a list that gets its result then."""
        found: list[object] = []
        self.clock.at(time, lambda: found.append(what()))
        return found

    def holds(self, wanted: Ruleset) -> bool:
        """Return True if the kernel holds exactly these own rules and sets."""
        return not diff(self.access.memory.ruleset, wanted)

    def set(self, name: str, value: object, *, on: object) -> Callable[[], None]:
        """Return a function that sets an attribute, for use with ``at``."""
        return partial(setattr, on, name, value)
