"""Invariants: requirements that all packets that match an expression are accepted at a hook, or that none is.

`ParsedInvariant` has the name, the hook, the parsed expression, and the required result (`InvariantKind`).
`simulator.analysis.prove` proves invariants for a ruleset; `simulator.guard` refuses plans that break one.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from engine.rulesets.model import Hook

if TYPE_CHECKING:
    from simulator.expression import Expression  # only for types: callers that have an Expression imported it already


class InvariantKind(StrEnum):
    """Required result: every packet accepted, or every packet blocked."""

    ACCEPT = "accept"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class ParsedInvariant:
    """Requirement on all packets that match an expression at a hook."""

    name: str
    hook: Hook
    where: "Expression"
    must: InvariantKind
