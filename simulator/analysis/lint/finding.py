"""What may be wrong with a rule or a chain, and which rules are the cause."""

from dataclasses import dataclass
from enum import StrEnum

from engine.errors import plain
from engine.rulesets.model import Family, Rule
from simulator.analysis.prove import Witness
from simulator.netfilter import Decision


class LintKind(StrEnum):
    """In which way a rule makes no difference."""

    UNREACHABLE = "unreachable"
    """Nothing leads to its chain, or nothing that comes there can match."""
    SHADOWED = "shadowed"
    """Rules before it take all its packets."""
    CONTRADICTORY = "contradictory"
    """Rules before it take all its packets, and do otherwise with all of them."""
    REDUNDANT = "redundant"
    """What comes behind it does the same with its packets."""


@dataclass(frozen=True, slots=True)
class LintFinding:
    """A finding about a rule, or about a whole chain where the rule's number is 0.

    ``causes`` are as few rules as can be that make it so, or a chain's policy where the number is 0. The ``witness``
    is a packet that the rule is about, and what becomes of it.
    """

    kind: LintKind
    family: Family
    place: Decision
    rule: Rule | None = None
    causes: tuple[Decision, ...] = ()
    witness: Witness | None = None


def named(place: Decision) -> str:
    """Return a rule by its place, and by its policy where it has one."""
    where = plain(f"{place.table}/{place.chain}")
    if not place.rule:
        return f"the policy of {where}"
    policy = f" (policy {place.policy}, rule {place.policy_rule})" if place.policy else ""
    return f"{where} rule {place.rule}{plain(policy)}"
