"""Lockout guard for a Node whose state changes over time.

The guard keeps its cache of analysed rules as long as the new state leads to an equal guard.

Input: a ``ClusterState``, then rulesets before and after a plan with its intermediate states. Output: a
:class:`PlanProof`, or a description of the packets on which two rulesets differ.
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
    """Verifier that judges as one cluster state demands."""

    def judge_in(self, state: ClusterState) -> None:
        """Judge plans by this state from now on."""
        ...


class NodeGuard:
    """The guard of the state that was named last; each judgement may take what ``budget`` says as it begins."""

    def __init__(self, node: str, netns: str, budget: Callable[[], Budget]) -> None:
        self._node, self._netns, self._budget = node, netns, budget
        self._guard = LockoutGuard()

    def judge_in(self, state: ClusterState) -> None:
        """Judge from now on as it is right in this state."""
        guard = wiring.verifier(state, self._node, self._netns, self._guard.budget)
        if guard != self._guard:
            self._guard = guard

    def judge(self, before: Ruleset, after: Ruleset, passages: Sequence[IntermediateState]) -> PlanProof:
        """Return what speaks against a plan."""
        self._guard.budget = self._budget()
        return self._guard.judge(before, after, passages)

    def differing_packets(self, one: Ruleset, other: Ruleset) -> str:
        """Return which packets two rulesets treat differently."""
        self._guard.budget = self._budget()
        return self._guard.differing_packets(one, other)
