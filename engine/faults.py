"""What pydantic finds wrong with an input, in nodewall's words.

Models raise :func:`finding` for what only they know; :func:`faults_of` turns those and pydantic's own findings into
:class:`engine.errors.Fault` values, so that every boundary (manifests, events, scenarios) words them the same way.
"""

from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from engine.errors import Fault, Place, shown

_OWN = "nodewall"

_EXPECTED: Mapping[str, str] = {
    "string_type": "a string",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
"""pydantic's error type -> what stands there in a sound document."""

_BOUNDED: Mapping[str, str] = {
    "literal_error": "one of {expected}",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "too_short": "at least {min_length} entry",
    "string_too_short": "at least {min_length} character",
    "string_too_long": "at most {max_length} characters",
}
"""pydantic's error type -> the same, with the bound from its context."""


def finding(problem: str, expected: str = "") -> PydanticCustomError:
    """Return the error a validator raises to say what was found and what was expected."""
    return PydanticCustomError(_OWN, "{problem}", {"problem": problem, "expected": expected})


def path_of(location: tuple[int | str, ...]) -> str:
    """Return a field path as kubectl writes it: ``spec.ingress[0].ports[1].port``."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def faults_of(error: ValidationError) -> tuple[tuple[tuple[int | str, ...], Fault], ...]:
    """Return every finding as (location, fault), in the order of the document's fields; no place is set."""
    details = error.errors()
    inside = {detail["loc"][:depth] for detail in details for depth in range(len(detail["loc"]))}
    # pydantic counts only the sound entries of a list: one with a bad entry is not too short as well.
    real = (detail for detail in details if detail["type"] != "too_short" or detail["loc"] not in inside)
    return tuple((_named(detail["loc"]), _fault(detail)) for detail in real)


def placed(fault: Fault, place: Place) -> Fault:
    """Return the fault with the place where it stands."""
    return Fault(fault.path, fault.problem, fault.expected, place)


def _named(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    # pydantic's mark of a finding about a mapping's key; it is no field.
    return tuple(part for part in location if part != "[key]")


def _fault(detail: ErrorDetails) -> Fault:
    path = path_of(_named(detail["loc"]))
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == _OWN:
        return Fault(path, str(context["problem"]), str(context["expected"]))
    if kind == "extra_forbidden":
        return Fault(path, "unknown field", "only fields that nodewall knows; check spelling and indentation")
    if kind == "missing":
        return Fault(path, "missing", "this required field")
    found = f"found {shown(detail['input'])}"
    if kind in _BOUNDED:
        return Fault(path, found, _BOUNDED[kind].format(**context))
    return Fault(path, found, _EXPECTED.get(kind, detail["msg"]))
