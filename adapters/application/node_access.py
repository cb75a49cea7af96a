"""Access to the node that a use case works on: kernel, host facts, lock, commit-confirm and connections.

Input is the name of a network namespace; an empty name is the namespace of this process. Tests subclass it to stay in
memory. Errors are those of the functions that the methods call.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from adapters import wiring
from adapters.application.node_guard import NodeGuard, StateVerifier
from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.backends import RuleWatch, ToolBackend
from adapters.netfilter.conntrack import ConnectionTable
from adapters.netfilter.hostfacts import observe
from adapters.node.agent import KillSwitch
from adapters.node.commit_confirm import confirmed_within, settled
from adapters.node.kill_switch import FileKillSwitch
from adapters.node.node_lock import node_lock
from adapters.node.wakeups import SystemWakeups, Wakeups
from adapters.system.process import NetnsHold, SystemRunner
from engine.events import HostObserved
from engine.reconcile.interfaces import Verifier
from engine.reconcile.log_interfaces import LogWatch
from engine.rulesets.model import Ruleset
from engine.state.fold import ClusterState
from simulator.symbolic import Budget


@dataclass(frozen=True, slots=True)
class NodeAccess:
    """A node, reached through one of its network namespaces."""

    netns: str = ""

    def observe_host(self, node: str, held: NetnsHold | None = None) -> HostObserved:
        """Return the interfaces and DNS servers of the node."""
        return observe(node, SystemRunner(self.netns, held), self.netns)

    def lock(self) -> AbstractContextManager[NetnsHold]:
        """Return a context in which no other nodewall changes the node."""
        return node_lock(self.netns)

    def check_settled(self) -> None:
        """Refuse to go on while an apply awaits confirmation."""
        settled(self.netns)

    def confirmed_within(
        self, seconds: float | None, backend: BackendName, record: tuple[str, ...]
    ) -> AbstractContextManager[None]:
        """Return a context whose changes are rolled back unless they are confirmed in time; None is never."""
        return confirmed_within(seconds, self.netns, backend, record)

    def kernel(self, backend: BackendName, held: NetnsHold | None = None) -> ToolBackend:
        """Return the kernel's rules and sets, by a backend of iptables."""
        return wiring.kernel(self.netns, backend, held)

    def guard(self, state: ClusterState, node: str, budget: Budget) -> Verifier:
        """Return the lockout guard that judges plans for the node."""
        return wiring.verifier(state, node, self.netns, budget)

    def guards(self, node: str, budget: Callable[[], Budget]) -> StateVerifier:
        """Return the lockout guard that goes on from state to state."""
        return NodeGuard(node, self.netns, budget)

    def rule_changes(self, backend: BackendName) -> RuleWatch:
        """Return what tells of changed rules, whoever changes them."""
        return wiring.rule_changes(backend, self.netns)

    def wakeups(self, rules: int | None, log: LogWatch | None) -> Wakeups:
        """Return the clock of an agent, and its wait for changed rules and a written log."""
        return SystemWakeups(rules, log)

    def kill_switch(self, withdraw: Callable[[], object]) -> KillSwitch:
        """Return the switch that takes all rules off the node, by ``withdraw``."""
        return FileKillSwitch(self.netns, withdraw)

    def forget_connections(self, rules: Ruleset, held: NetnsHold | None = None) -> int:
        """Delete tracked connections of the node that the rules would not admit, and return the number."""
        return ConnectionTable(SystemRunner(self.netns, held)).enforce(rules)
