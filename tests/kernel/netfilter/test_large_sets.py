"""Sets of more members than ipset takes where nothing is said: filled, and changed."""

import pytest

from adapters.lab.netns import Namespaces
from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.backends import choose_backend
from adapters.system.process import SystemRunner
from engine.compiler import compile_rules
from engine.policy.completed_rules import Action, CompletedRule
from engine.policy.prefix_sets import AddressBlock
from engine.reconcile.reconciler import apply_proposal, propose
from engine.rulesets.plan import Plan
from simulator.guard.guard import LockoutGuard
from tests.support.rulesets.ruleset_builders import SOAK, NullWatch, block, completed

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("kernel")]

MEMBERS = 1_000_000 if SOAK else 70_000


def rules_about(first: int, count: int) -> list[CompletedRule]:
    """Rules that let so many addresses in, from one on, and nobody else."""
    peers = tuple(address(number) for number in range(first, first + count))
    made = completed("many", "192.0.2.0/24", action=Action.ALLOW)
    return [CompletedRule("many", "r", made.rank, made.direction, made.action, peers), completed("last", priority=9.0)]


def address(number: int) -> AddressBlock:
    """Every second address from 10.0.0.0 on, so that no two are one network."""
    return block(f"10.{number >> 15 & 255}.{number >> 7 & 255}.{(number & 127) * 2}/32")


def test_a_large_set_costs_a_change_what_changes(backend: str) -> None:
    """It is filled by one step, one member more is one operation, and all can become others."""
    with Namespaces(("node",)) as made:
        kernel, guard = choose_backend(SystemRunner(made["node"]), BackendName(backend)), LockoutGuard()

        def bring(first: int, count: int) -> Plan:
            wanted = compile_rules(rules_about(first, count))
            proposal = propose(wanted, kernel, guard, NullWatch())
            assert proposal.judgement.safe
            apply_proposal(proposal, kernel, NullWatch())
            assert kernel.observe().sets == wanted.sets
            return proposal.plan

        assert [step.tool for step in bring(0, MEMBERS).steps] == ["ipset", "iptables", "ip6tables"]
        assert len(bring(0, MEMBERS + 1).changes) == 1
        assert len(bring(MEMBERS // 2, MEMBERS).changes) == MEMBERS - 1
