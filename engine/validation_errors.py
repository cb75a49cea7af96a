"""Converts pydantic validation errors to `Fault` values with nodewall's wording.

Validators raise the result of `validation_error` for rules that pydantic cannot express. `faults_of` converts those and
pydantic's own errors to :class:`engine.errors.Fault`. So manifests, events and scenarios report the same problem in the
same words. Field paths follow kubectl: ``spec.ingress[0].ports[1].port``.
"""

import re
from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from engine.errors import Fault, SourceLocation, safe_text

OWN_FINDING = "nodewall"
"""pydantic error type of the errors that `validation_error` makes."""

_EXPECTED: Mapping[str, str] = {
    "string_type": "a string",
    "string_unicode": "a string of Unicode characters",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
"""pydantic error type -> what a valid document has at that place."""

_BOUNDED: Mapping[str, str] = {
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
    "too_short": "at least {min_length} entry",
    "string_too_short": "at least {min_length} character",
    "string_too_long": "at most {max_length} characters",
}
"""pydantic error type -> expected value, with a placeholder for the bound in the error's context."""


_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_-]{0,62}")


def validation_error(problem: str, expected: str = "") -> PydanticCustomError:
    """Return the error that a validator raises: what it found and what it expected."""
    return PydanticCustomError(OWN_FINDING, "{problem}", {"problem": problem, "expected": expected})


def path_of(location: tuple[int | str, ...]) -> str:
    """Return a field path in kubectl's notation: ``spec.ingress[0].ports[1].port``.

    A key that is not a plain word is user text and is quoted: ``metadata.labels["example.com/app"]``.
    """
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{safe_text(part)}]"
    return text


def faults_of(error: ValidationError) -> tuple[tuple[tuple[int | str, ...], Fault], ...]:
    """Return every error as (location, fault); faults of single fields come before cross-field faults."""
    details = error.errors(include_url=False)
    inside = {detail["loc"][:depth] for detail in details for depth in range(len(detail["loc"]))}
    # pydantic counts only valid entries of a list, so it reports "too short" for a list with one bad entry.
    real = (detail for detail in details if detail["type"] != "too_short" or detail["loc"] not in inside)
    return tuple((_named(detail["loc"]), _fault(detail)) for detail in real)


def with_location(fault: Fault, place: SourceLocation) -> Fault:
    """Return the fault with its source location."""
    return Fault(fault.path, fault.problem, fault.expected, place)


def _named(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    # pydantic adds "[key]" to the location of an error about a mapping's key; it is not a field.
    return tuple(part for part in location if part != "[key]")


def _fault(detail: ErrorDetails) -> Fault:
    path = path_of(_named(detail["loc"]))
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == OWN_FINDING:
        return Fault(path, str(context["problem"]), str(context["expected"]))
    if kind == "extra_forbidden":
        return Fault(path, "unknown field", "only fields that nodewall knows; check spelling and indentation")
    if kind == "missing":
        return Fault(path, "missing", "this required field")
    found = f"found {safe_text(detail['input'])}"
    if kind == "literal_error":
        several = " or " in context["expected"]
        return Fault(path, found, f"one of {context['expected']}" if several else str(context["expected"]))
    if kind in _BOUNDED:
        return Fault(path, found, _BOUNDED[kind].format(**context))
    return Fault(path, found, _EXPECTED.get(kind, detail["msg"]))
