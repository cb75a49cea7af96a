"""Invariants: requirements that a hook accepts all packets of an expression, or accepts none of them.

`ParsedInvariant` is an invariant with its parsed packet expression. `simulator.analysis.prove` proves invariants for a
ruleset; `simulator.guard` refuses plans that break one.
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
