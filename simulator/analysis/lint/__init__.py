"""Linter of rulesets: finds rules without effect (unreachable, shadowed, contradictory, redundant) and their causes.

`lint` takes a `Ruleset` and returns `LintFinding` values. ``rules`` has the checks, ``finding`` the result type.
``set_cover`` and ``downstream`` find the rules that cause a finding.
"""

from simulator.analysis.lint.finding import LintFinding, LintKind, decision_text
from simulator.analysis.lint.rules import lint

__all__ = ["LintFinding", "LintKind", "decision_text", "lint"]
