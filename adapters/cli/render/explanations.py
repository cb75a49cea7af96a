"""Converts explanations of the policy oracle, which evaluates policies without compiled rules, to JSON values.

Input: an :class:`Explanation`, the verdict of the policies on a packet. Output: a dictionary with the verdict, the
deciding rule, and all rules that were considered, with the reasons why they match or not.
"""

from simulator.oracle import Explanation, RuleConsideration


def explanation_as_json(explanation: Explanation) -> dict[str, object]:
    """Return the policy verdict of a packet, with every rule that was considered."""
    by = explanation.decided_by
    return {
        "packet": explanation.packet.as_spec(),
        "verdict": explanation.verdict,
        "reject_with": explanation.reject_with,
        "action": explanation.action or None,
        "decided_by": _considered_as_json(by) if by else None,
        "considered": [_considered_as_json(each) for each in explanation.considered],
    }


def _considered_as_json(considered: RuleConsideration) -> dict[str, object]:
    return {
        "policy": considered.policy,
        "direction": considered.direction,
        "index": considered.index,
        "rule": considered.rule or None,
        "matched": considered.matched,
        "why": list(considered.why),
        "action": considered.action or None,
    }
