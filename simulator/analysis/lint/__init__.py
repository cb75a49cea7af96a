"""Rules that make no difference: unreachable, shadowed, contradictory or redundant, each with what causes it."""

from simulator.analysis.lint.finding import LintFinding, LintKind, named
from simulator.analysis.lint.rules import lint

__all__ = ["LintFinding", "LintKind", "lint", "named"]
