"""Result type of lint: a rule or chain without effect, the rules that cause this, and an example packet.

`LintFinding` has a summary of one sentence, and the JSON form that ``nodewall lint`` prints.
"""

from dataclasses import dataclass
from enum import StrEnum

from engine.errors import printable
from engine.rulesets.model import Family, Rule
from simulator.analysis.prove import Witness
from simulator.netfilter import Decision


class LintKind(StrEnum):
    """Reason why a rule has no effect."""

    UNREACHABLE = "unreachable"
    """No packet enters its chain, or no packet that enters it can match."""
    SHADOWED = "shadowed"
    """Earlier rules take all its packets."""
    CONTRADICTORY = "contradictory"
    """Earlier rules take all its packets and give all of them another verdict."""
    REDUNDANT = "redundant"
    """Later rules give its packets the same verdict."""


@dataclass(frozen=True, slots=True)
class LintFinding:
    """Finding about a rule, or about a whole chain if the rule's number is 0.

    Attributes:
        place: The rule, by table, chain and number.
        causes: The fewest rules that cause the finding. Number 0 is a chain's policy.
        witness: A packet that the rule would match, and its verdict.
    """

    kind: LintKind
    family: Family
    place: Decision
    rule: Rule | None = None
    causes: tuple[Decision, ...] = ()
    witness: Witness | None = None


def decision_text(place: Decision) -> str:
    """Describe a rule by its position, and by its policy if it has one."""
    where = printable(f"{place.table}/{place.chain}")
    if not place.rule:
        return f"the policy of {where}"
    policy = f" (policy {place.policy}, rule {place.policy_rule})" if place.policy else ""
    return f"{where} rule {place.rule}{printable(policy)}"
