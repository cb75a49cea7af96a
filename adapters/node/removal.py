"""Removes all rules and sets of nodewall from a Node; used by ``nodewall remove`` and the agent.

Input: a backend of iptables (nft or legacy); rules in the other backend are removed too. Output: a
:class:`RemovalResult` with the number of operations. It also names the sets that stay because rules of other programs
use them.

Raises ``KernelError`` if a tool is missing or fails.
"""

from dataclasses import dataclass

from adapters.netfilter.backends import ToolBackend, others_of
from engine.compiler import CompilerOptions
from engine.errors import KernelRefused, ToolMissing
from engine.reconcile.interfaces import Kernel, Stopwatch
from engine.reconcile.reconciler import NodeRuleReconciler, Proposal, apply_proposal
from engine.rulesets.diff import diff, owned_part
from engine.rulesets.model import Ruleset
from engine.rulesets.plan import make_plan
from simulator.guard.guard import TrustingVerifier

_NOTHING = CompilerOptions(enabled=False)


@dataclass(frozen=True, slots=True)
class RemovalResult:
    """Number of operations of a removal, and the sets that stayed because foreign rules use them."""

    ops: int = 0
    left: tuple[str, ...] = ()


def remove(kernel: ToolBackend, watch: Stopwatch) -> RemovalResult:
    """Remove all rules and sets of nodewall from the Node, in every backend.

    Raises:
        KernelError: a tool is missing or failed.
    """
    other = clear_others(kernel, watch)
    nodes = NodeRuleReconciler(kernel, TrustingVerifier(), watch, _NOTHING)
    nodes.batch_reconcile(())
    return RemovalResult(other + len(nodes.latest.plan.changes), tuple(sorted(nodes.kept_sets)))


def clear_others(kernel: ToolBackend, watch: Stopwatch) -> int:
    """Remove nodewall's rules of every backend but this one, and return the number of operations."""
    return sum(clear_rules(other, watch) for other in others_of(kernel))


def clear_rules(kernel: Kernel, watch: Stopwatch) -> int:
    """Remove nodewall's rules of one backend but not its sets, and return the number of operations."""
    try:
        observed = kernel.observe()
    except (ToolMissing, KernelRefused):
        return 0  # that backend is not installed
    wanted = Ruleset(sets=owned_part(observed).sets)
    proposal = Proposal(observed, wanted, make_plan(diff(observed, wanted)))
    apply_proposal(proposal, kernel, watch)
    return len(proposal.plan.changes)
