"""Converts the simulator's results to JSON values: deciding rules, traces and rewritten packets.

Input: an :class:`Evaluation` (the result for a packet) or a :class:`Decision` (the rule that decided). Output:
dictionaries with the keys of the command line reference.
"""

from simulator.netfilter import Decision, Evaluation, TraceStep


def decision_as_json(decision: Decision | None) -> dict[str, object] | None:
    """Return the deciding rule and its policy, None if no rule decided."""
    if decision is None:
        return None
    return {
        "table": decision.table,
        "chain": decision.chain,
        "rule": decision.rule,
        "policy": decision.policy,
        "policy_rule": decision.policy_rule,
        "comment": decision.comment or None,
    }


def answer_as_json(answer: Evaluation, *, trace: bool = True) -> dict[str, object]:
    """Return an answer, with its trace if ``trace`` is set."""
    plain: dict[str, object] = {
        "packet": answer.packet.as_spec(),
        "verdict": answer.verdict.value,
        "reject_with": answer.reject_with,
        "hook": answer.hook.value,
        "decided_by": decision_as_json(answer.decided_by),
        "assumptions": list(answer.assumptions),
    }
    if answer.became:
        plain["became"] = answer.became
    if answer.logged_by:
        plain["logged_by"] = [{"policy": policy, "policy_rule": rule} for policy, rule in answer.logged_by]
    return plain | {"trace": [_step_as_json(step) for step in answer.trace]} if trace else plain


def _step_as_json(step: TraceStep) -> dict[str, object]:
    return {
        "table": step.table,
        "chain": step.chain,
        "rule": step.rule,
        "target": step.target or None,
        "matched": step.matched,
    }
