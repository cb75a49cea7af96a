"""Invariants: what shall become of packets, whatever they are."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from engine.rulesets.model import Hook

if TYPE_CHECKING:
    from simulator.expression import Expression  # whoever has one has imported it


class InvariantKind(StrEnum):
    """What shall become of packets."""

    ACCEPT = "accept"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Invariant:
    """All packets that an expression means shall be accepted, or none of them, at a hook."""

    name: str
    hook: Hook
    where: "Expression"
    must: InvariantKind
