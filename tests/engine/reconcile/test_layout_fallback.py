"""A layout comes into force where it is proved to be equal, and where the kernel takes it."""

from adapters.netfilter.memory import MemoryBackend
from engine.compiler import CompilerOptions, Layout, compile_rules
from engine.policy.completed_rules import Protocol, Traffic
from engine.reconcile.reconciler import NodeRuleReconciler
from engine.rulesets.model import Ruleset
from engine.rulesets.text.steps import render_step
from simulator.guard.guard import TrustingVerifier
from tests.support.rulesets.reconciled_rulesets import WATCH, in_force, wanted
from tests.support.rulesets.ruleset_builders import arranged, completed


class DoubtingVerifier(TrustingVerifier):
    """Says that any two rulesets differ."""

    def differing_packets(self, one: Ruleset, other: Ruleset) -> str:
        """Return so."""
        return "" if one == other else "tcp to port 22 changes"


OPTIMISED = CompilerOptions(layout=Layout.OPTIMISED)
PORTS = [
    completed(f"p{n}", f"10.0.{n}.0/24", priority=float(n), services=(Traffic(Protocol.TCP, (22, 22)),))
    for n in range(10)
]


def test_the_optimised_layout_is_in_force_only_where_it_is_proved() -> None:
    """Where the verifier finds a difference the rules stand one after the other, and it is said why."""
    kernel = MemoryBackend()
    reconciler = NodeRuleReconciler(kernel, TrustingVerifier(), WATCH, OPTIMISED)
    reconciler.batch_reconcile(PORTS)
    assert in_force(kernel) == arranged(compile_rules(PORTS, OPTIMISED)) != wanted(PORTS)
    assert reconciler.not_optimised == ""

    doubted = NodeRuleReconciler(kernel, DoubtingVerifier(), WATCH, OPTIMISED)
    doubted.batch_reconcile(PORTS)
    assert in_force(kernel) == wanted(PORTS)
    assert doubted.not_optimised == "tcp to port 22 changes"


def test_what_is_refused_merged_is_tried_one_by_one() -> None:
    """Nobody owns a rule that serves many, so where a kernel refuses one it gets the linear layout, and it is said why."""
    kernel = MemoryBackend(refuse=lambda step: "line 2 failed" if "nodewall merged:" in render_step(step) else "")
    reconciler = NodeRuleReconciler(kernel, TrustingVerifier(), WATCH, OPTIMISED)
    reconciler.batch_reconcile(PORTS)
    assert in_force(kernel) == wanted(PORTS)
    assert "line 2 failed" in reconciler.not_optimised
    assert reconciler.failed == ()
