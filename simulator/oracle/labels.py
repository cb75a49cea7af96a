"""Evaluation of a Kubernetes label selector, with the reason in words.

Input: labels and a `LabelSelector`. Output: `satisfies` returns a `ReasonedResult`: true or false, and the reason.
Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ .
"""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.objects import LabelSelector, MatchExpression


@dataclass(frozen=True, slots=True)
class ReasonedResult:
    """Boolean result with its reason."""

    holds: bool
    why: str

    def __bool__(self) -> bool:
        """Return the result without the reason."""
        return self.holds


def satisfies(labels: Mapping[str, str], selector: LabelSelector) -> ReasonedResult:
    """Return whether labels satisfy a selector; the reason is the first condition that fails."""
    for key, value in selector.match_labels.items():
        if labels.get(key) != value:
            return ReasonedResult(holds=False, why=f"{_label(labels, key)}, not {value!r}")
    for expression in selector.match_expressions:
        if not _holds(labels, expression):
            return ReasonedResult(holds=False, why=f"{_label(labels, expression.key)}, not {_wanted(expression)}")
    conditions = [f"{key}={value}" for key, value in selector.match_labels.items()]
    conditions += [f"{expression.key} {_wanted(expression)}" for expression in selector.match_expressions]
    return ReasonedResult(holds=True, why=" and ".join(conditions) or "an empty selector selects all")


def _holds(labels: Mapping[str, str], expression: MatchExpression) -> bool:
    if expression.operator == "Exists":
        return expression.key in labels
    if expression.operator == "DoesNotExist":
        return expression.key not in labels
    if expression.operator == "In":
        return expression.key in labels and labels[expression.key] in expression.values
    return expression.key not in labels or labels[expression.key] not in expression.values


def _wanted(expression: MatchExpression) -> str:
    values = f" ({', '.join(expression.values)})" if expression.values else ""
    return f"{expression.operator}{values}"


def _label(labels: Mapping[str, str], key: str) -> str:
    return f"label {key} is {labels[key]!r}" if key in labels else f"there is no label {key}"
