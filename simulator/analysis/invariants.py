"""Invariants: rules of a configuration such as "no packet from the Internet reaches port 22 at INPUT".

A `ParsedInvariant` says that a hook accepts all packets of an expression, or none of them.
`simulator.analysis.prove` proves it, and `simulator.guard` refuses plans that break it.
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
