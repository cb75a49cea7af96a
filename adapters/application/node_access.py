"""Access to one Node for the use cases: kernel, host facts, lock, timed apply and tracked connections.

Input: the name of a network namespace; an empty name means the namespace of this process. Output: :class:`NodeAccess`,
whose methods return the adapters for that namespace, such as the kernel backend and the lockout guard.

Tests use a subclass that needs no kernel. Each method raises the errors of the function that it calls.
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
from adapters.node.commit_confirm import check_no_pending, confirmed_within
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
    """Access to a node through one of its network namespaces."""

    netns: str = ""

    def observe_host(self, node: str, held: NetnsHold | None = None) -> HostObserved:
        """Return the interfaces and DNS servers of the node."""
        return observe(node, SystemRunner(self.netns, held), self.netns)

    def lock(self) -> AbstractContextManager[NetnsHold]:
        """Return a context that holds the lock of the node, so that no other nodewall changes its rules."""
        return node_lock(self.netns)

    def check_settled(self) -> None:
        """Raise ``Refused`` while an apply awaits confirmation."""
        check_no_pending(self.netns)

    def confirmed_within(
        self, seconds: float | None, backend: BackendName, record: tuple[str, ...]
    ) -> AbstractContextManager[None]:
        """Return a context whose changes are rolled back unless they are confirmed within ``seconds``.

        None disables the rollback. ``record`` is the path of the log, the node and the sequence; or empty.
        """
        return confirmed_within(seconds, self.netns, backend, record)

    def kernel(self, backend: BackendName, held: NetnsHold | None = None) -> ToolBackend:
        """Return the backend that reads and writes the rules and sets of the node."""
        return wiring.kernel(self.netns, backend, held)

    def guard(self, state: ClusterState, node: str, budget: Budget) -> Verifier:
        """Return the lockout guard that judges plans for the node."""
        return wiring.verifier(state, node, self.netns, budget)

    def guards(self, node: str, budget: Callable[[], Budget]) -> StateVerifier:
        """Return a lockout guard that follows the cluster state, with the limits for each proof."""
        return NodeGuard(node, self.netns, budget)

    def rule_changes(self, backend: BackendName) -> RuleWatch:
        """Return a watch for rule changes by any program."""
        return wiring.rule_changes(backend, self.netns)

    def wakeups(self, rules: int | None, log: LogWatch | None) -> Wakeups:
        """Return the clock of an agent, which also waits for changed rules and writes to the log.

        Args:
            rules: the descriptor that becomes readable after rules changed; None to poll.
            log: the watch for the log; None to poll.
        """
        return SystemWakeups(rules, log)

    def kill_switch(self, withdraw: Callable[[], object]) -> KillSwitch:
        """Return the kill switch of the node, which removes all rules by calling ``withdraw``."""
        return FileKillSwitch(self.netns, withdraw)

    def forget_connections(self, rules: Ruleset, held: NetnsHold | None = None) -> int:
        """Delete tracked connections of the node that the rules do not admit; return their number."""
        return ConnectionTable(SystemRunner(self.netns, held)).enforce(rules)
