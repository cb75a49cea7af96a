"""Rules that make no difference: unreachable, shadowed, contradictory or redundant, each with what causes it."""

from simulator.lint.finding import Finding, Kind, named
from simulator.lint.judge import lint

__all__ = ["Finding", "Kind", "lint", "named"]
