"""What may be wrong with a rule or a chain, and which rules are the cause."""

from dataclasses import dataclass, replace
from enum import StrEnum

from engine.errors import plain
from engine.rulesets.model import Family, Rule
from engine.rulesets.text import render_rule
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

    @property
    def text(self) -> str:
        """The rule as iptables-save has it, but for what cannot be printed."""
        if self.rule is None:
            return ""
        matches = (replace(each, values=tuple(map(plain, each.values))) for each in self.rule.matches)
        return render_rule(replace(self.rule, matches=tuple(matches))).strip()

    @property
    def summary(self) -> str:
        """The finding as a sentence."""
        who, causes = named(self.place), " and ".join(named(cause) for cause in self.causes)
        several = len(self.causes) > 1
        match self.kind:
            case LintKind.UNREACHABLE if self.rule is None:
                return plain(f"chain {self.place.table}/{self.place.chain} is never entered")
            case LintKind.UNREACHABLE:
                return f"{who} is never matched: no packet that comes to its chain can match it"
            case LintKind.SHADOWED:
                return f"{who} is never matched: {causes} {'take' if several else 'takes'} all its packets"
            case LintKind.CONTRADICTORY:
                end = f", and {self.witness.verdict} is what becomes of them" if self.witness else ""
                return f"{who} is never matched: {causes} {'take' if several else 'takes'} all its packets{end}"
            case LintKind.REDUNDANT:
                return f"{who} makes no difference: {causes} {'do' if several else 'does'} the same with its packets"

    def as_json(self) -> dict[str, object]:
        """Return it as the command line prints it."""
        place = self.place.as_json()
        return {
            "kind": self.kind.value,
            "family": self.family.value,
            **{key: place[key] for key in ("table", "chain", "rule", "policy", "policy_rule")},
            "text": self.text or None,
            "causes": [cause.as_json() for cause in self.causes],
            "example": self.witness.packet.as_spec() if self.witness else None,
            "summary": self.summary,
        }


def named(place: Decision) -> str:
    """Return a rule by its place, and by its policy where it has one."""
    where = plain(f"{place.table}/{place.chain}")
    if not place.rule:
        return f"the policy of {where}"
    policy = f" (policy {place.policy}, rule {place.policy_rule})" if place.policy else ""
    return f"{where} rule {place.rule}{plain(policy)}"
