"""Tests of drift repair, and of its pauses when another program keeps undoing repairs."""

import pytest

from adapters.netfilter.cached import CachedKernel
from adapters.node.drift import RulesetEnforcer
from adapters.node.journal import Journal
from engine.compiler import DEFAULT_OPTIONS, compile_rules
from engine.desired.full import DesiredRuleset
from engine.reconcile.reconciler import NodeRuleReconciler
from engine.rulesets.diff import diff
from engine.rulesets.model import Family, Ruleset
from engine.state.fold import ClusterState
from simulator.guard.guard import TrustingVerifier
from tests.support.kernel.memory_kernel import Held, Told
from tests.support.rulesets.ruleset_builders import NullWatch, completed

RULES = (completed("a", "10.0.0.0/8"), completed("b"))
WANTED = DesiredRuleset(RULES, DEFAULT_OPTIONS, compile_rules(RULES))


class Node:
    """In-memory node with its enforcer and a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.held = Held(Ruleset())
        self.told = Told()
        kernel = CachedKernel(self.held, self.told)
        nodes = NodeRuleReconciler(kernel, TrustingVerifier(), NullWatch())
        self.keeper = RulesetEnforcer(kernel, nodes, Journal("n", ClusterState()), lambda: self.now)
        self.keeper.enforce(WANTED)

    def whole(self) -> bool:
        """Return True if the kernel holds the desired rules."""
        return not diff(self.held.ruleset, WANTED.ruleset)

    def damage(self) -> None:
        """Remove all rules and sets."""
        self.held.ruleset, self.told.fresh = Ruleset(), frozenset(Family)
        self.keeper.kernel.distrust_sets()


def test_damage_is_undone_once() -> None:
    """One repair restores all rules and sets, and a second repair finds no drift."""
    node = Node()
    assert node.whole()
    node.damage()
    assert not node.whole()
    assert node.keeper.repair()
    assert node.whole()
    assert not node.keeper.repair()


def test_who_damages_again_and_again_is_let_wait_longer_and_longer() -> None:
    """Repairs that another program keeps undoing cause pauses that grow to 5 s, without repairs during a pause."""
    node, pauses = Node(), list[float]()
    while len(pauses) < 6:
        node.damage()
        assert node.keeper.repair()
        assert node.whole()
        if node.keeper.held_until > node.now:
            pauses.append(node.keeper.held_until - node.now)
            node.damage()
            node.now = node.keeper.held_until - 0.01
            assert not node.keeper.repair()
            node.now = node.keeper.held_until
        node.now += 0.1

    assert pauses[:4] == pytest.approx([0.5, 1.0, 2.0, 5.0])


def test_after_a_while_without_damage_repairs_are_at_once_again() -> None:
    """After a minute without damage, repairs happen at once again."""
    node = Node()
    while node.keeper.held_until <= node.now:
        node.damage()
        node.keeper.repair()
    node.now = node.keeper.held_until + 60

    node.damage()

    assert node.keeper.repair()
    assert node.keeper.held_until < node.now
