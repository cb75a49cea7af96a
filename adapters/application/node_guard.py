"""Lockout guard of the agent: proves before each apply that the plan keeps the Node reachable.

Input: each new ``ClusterState``; for a plan, the rulesets before and after it, and the kernel's states during it.
Output: a :class:`PlanProof` (the objections to the plan, if any), or a description of the packets on which two rulesets
differ.

The proof depends on a few parts of the cluster state: invariants, addresses of the Node, and lifelines (traffic that
must stay accepted). While they stay equal, the guard keeps its cache of analysed rules.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from adapters import wiring
from engine.reconcile.interfaces import PlanProof, Verifier
from engine.rulesets.model import Ruleset
from engine.rulesets.transitions import IntermediateState
from engine.state.fold import ClusterState
from simulator.guard.guard import LockoutGuard
from simulator.symbolic import Budget


class StateVerifier(Verifier, Protocol):
    """Verifier that judges plans by one cluster state, which can be replaced."""

    def judge_in(self, state: ClusterState) -> None:
        """Judge plans by this state from now on."""
        ...


class NodeGuard:
    """Lockout guard for the most recent cluster state; ``budget`` returns the limits for each judgement."""

    def __init__(self, node: str, netns: str, budget: Callable[[], Budget]) -> None:
        self._node, self._netns, self._budget = node, netns, budget
        self._guard = LockoutGuard()

    def judge_in(self, state: ClusterState) -> None:
        """Judge plans by this state from now on."""
        guard = wiring.verifier(state, self._node, self._netns, self._guard.budget)
        if guard != self._guard:
            self._guard = guard

    def judge(self, before: Ruleset, after: Ruleset, passages: Sequence[IntermediateState]) -> PlanProof:
        """Return the proof of a plan, with the objections to it."""
        self._guard.budget = self._budget()
        return self._guard.judge(before, after, passages)

    def differing_packets(self, one: Ruleset, other: Ruleset) -> str:
        """Describe packets to which two rulesets give different verdicts; return an empty string if there are none.

        If the budget is too small for a proof, return the reason instead.
        """
        self._guard.budget = self._budget()
        return self._guard.differing_packets(one, other)
