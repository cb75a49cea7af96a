"""Rulesets that a reconciler leaves in a kernel in memory, and those that rules ask for."""

from collections.abc import Sequence

from adapters.netfilter.memory import MemoryBackend
from engine.compiler import compile_rules
from engine.policy.completed_rules import CompletedRule
from engine.rulesets.diff import owned_part
from engine.rulesets.model import Ruleset
from tests.support.rulesets.ruleset_builders import NullWatch, arranged

WATCH = NullWatch()


def in_force(kernel: MemoryBackend) -> Ruleset:
    """Return the part of a kernel's ruleset that nodewall owns, in a fixed order."""
    return arranged(owned_part(kernel.ruleset))


def wanted(rules: Sequence[CompletedRule]) -> Ruleset:
    """Return the desired ruleset for these rules, in a fixed order."""
    return arranged(compile_rules(sorted(rules, key=lambda rule: (rule.rank, rule.direction))))
