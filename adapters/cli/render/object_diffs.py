"""Renders the changed fields of a Kubernetes object between two events, as JSON values and as patch-like lines.

Input: an :class:`ObjectDiff`. Output: a dictionary with path, old and new value per changed field, or one line per
field. A new or deleted object gives one line. In text, values longer than 100 characters are cut.
"""

import json

from engine.state.object_diff import ABSENT, FieldChange, ObjectChangeKind, ObjectDiff

_LONGEST = 100
"""Most characters of a value in a line."""


def object_diff_as_json(edited: ObjectDiff | None) -> dict[str, object] | None:
    """Return a diff by field, without the sides where the field is absent; None if the event has no object."""
    if edited is None:
        return None
    return {"how": edited.how.value, "fields": [_edit_as_json(each) for each in edited.edits]}


def object_diff_as_lines(edited: ObjectDiff) -> tuple[str, ...]:
    """Return a diff with one changed field per line."""
    whole = {ObjectChangeKind.NEW: "+ it is new", ObjectChangeKind.GONE: "- it is gone"}
    return (whole[edited.how],) if edited.how in whole else tuple(map(_line, edited.edits))


def _edit_as_json(edit: FieldChange) -> dict[str, object]:
    sides = (("before", edit.before), ("after", edit.after))
    return {"path": edit.path, **{side: value for side, value in sides if value is not ABSENT}}


def _line(edit: FieldChange) -> str:
    if edit.before is ABSENT:
        return f"+ {edit.path}: {_short(edit.after)}"
    if edit.after is ABSENT:
        return f"- {edit.path}: {_short(edit.before)}"
    return f"~ {edit.path}: {_short(edit.before)} -> {_short(edit.after)}"


def _short(value: object) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
