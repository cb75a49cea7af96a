"""Object diffs as plain values, and as lines like those of a patch."""

import json

from engine.state.object_diff import ABSENT, FieldChange, ObjectChangeKind, ObjectDiff

_LONGEST = 100
"""Characters of a value in a line."""


def edited_as_json(edited: ObjectDiff | None) -> dict[str, object] | None:
    """Return a diff field by field; a side of a field that is absent is left out. None where there is no object."""
    if edited is None:
        return None
    return {"how": edited.how.value, "fields": [_edit_as_json(each) for each in edited.edits]}


def edited_as_lines(edited: ObjectDiff) -> tuple[str, ...]:
    """Return a diff with a field a line."""
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
