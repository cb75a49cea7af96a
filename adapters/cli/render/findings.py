"""Renders findings of ``nodewall lint`` as JSON values, as sentences, and as rule text in iptables-save syntax.

Input: a :class:`LintFinding` (a rule that never matches or makes no difference, with the rules that cause it). Output:
a dictionary or a string; control characters are replaced, so that they cannot affect the terminal.
"""

from dataclasses import replace

from adapters.cli.render.decisions import decision_as_json
from engine.errors import printable
from engine.rulesets.text import render_rule
from simulator.analysis.lint import LintFinding, LintKind, decision_text


def finding_as_json(finding: LintFinding) -> dict[str, object]:
    """Return a finding with its causes and an example packet."""
    place = finding.place
    return {
        "kind": finding.kind.value,
        "family": finding.family.value,
        "table": place.table,
        "chain": place.chain,
        "rule": place.rule,
        "policy": place.policy,
        "policy_rule": place.policy_rule,
        "text": rule_text(finding) or None,
        "causes": [decision_as_json(cause) for cause in finding.causes],
        "example": finding.witness.packet.as_spec() if finding.witness else None,
        "summary": summary(finding),
    }


def rule_text(finding: LintFinding) -> str:
    """Return the rule in iptables-save syntax, with control characters replaced; empty for a chain."""
    if finding.rule is None:
        return ""
    matches = (replace(each, values=tuple(map(printable, each.values))) for each in finding.rule.matches)
    return render_rule(replace(finding.rule, matches=tuple(matches))).strip()


def summary(finding: LintFinding) -> str:
    """Return the finding as one sentence."""
    who, causes = decision_text(finding.place), " and ".join(decision_text(cause) for cause in finding.causes)
    several = len(finding.causes) > 1
    match finding.kind:
        case LintKind.UNREACHABLE if finding.rule is None:
            return printable(f"chain {finding.place.table}/{finding.place.chain} is never entered")
        case LintKind.UNREACHABLE:
            return f"{who} is never matched: no packet that comes to its chain can match it"
        case LintKind.SHADOWED:
            return f"{who} is never matched: {causes} {'take' if several else 'takes'} all its packets"
        case LintKind.CONTRADICTORY:
            end = f", and {finding.witness.verdict} is what becomes of them" if finding.witness else ""
            return f"{who} is never matched: {causes} {'take' if several else 'takes'} all its packets{end}"
        case LintKind.REDUNDANT:
            return f"{who} makes no difference: {causes} {'do' if several else 'does'} the same with its packets"
