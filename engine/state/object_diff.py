"""Diffs the object of an event, field by field, against the state before the event.

Input: the `StateChange` of an event (the object before and after it). Output: `ObjectDiff` with `FieldChange` values,
or None for events without an object. Fields with their default value are left out. List entries are matched by
content, so that one inserted entry does not change the entries after it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum

from pydantic import BaseModel

from engine.errors import safe_text
from engine.events import StateChange, affects_rules

JsonValue = object


class _Absent(StrEnum):
    ABSENT = "absent"


ABSENT = _Absent.ABSENT
"""Value of a field that is absent."""


class ObjectChangeKind(StrEnum):
    """Effect of an event on its object."""

    NEW = "new"
    CHANGED = "changed"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field with a different value; either side may be `ABSENT`.

    Indices of list entries refer to the list that holds them, the old or the new one.
    """

    path: str
    before: JsonValue
    after: JsonValue


@dataclass(frozen=True, slots=True)
class ObjectDiff:
    """Effect of an event on its object, and the changed fields of a changed object."""

    how: ObjectChangeKind
    edits: tuple[FieldChange, ...] = ()


def diff_of_event(change: StateChange | None) -> ObjectDiff | None:
    """Return what the effect of an event does to its object; None of effects on no object."""
    if change is None or not affects_rules(change.kind):
        return None
    if change.after is None:
        return ObjectDiff(ObjectChangeKind.GONE)
    if change.before is None:
        return ObjectDiff(ObjectChangeKind.NEW)
    return ObjectDiff(ObjectChangeKind.CHANGED, tuple(diff_values(_plain(change.before), _plain(change.after))))


def _plain(item: BaseModel) -> JsonValue:
    return item.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)


def diff_values(before: JsonValue, after: JsonValue, path: str = "") -> Iterator[FieldChange]:
    """Yield the differences of two plain JSON values, as deep as possible."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            yield from diff_values(before.get(key, ABSENT), after.get(key, ABSENT), _field(path, str(key)))
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_lists(before, after, path)
    elif before != after or type(before) is not type(after):
        yield FieldChange(path, before, after)


def _of_lists(before: Sequence[JsonValue], after: Sequence[JsonValue], path: str) -> Iterator[FieldChange]:
    old, new = ([json.dumps(item, sort_keys=True) for item in side] for side in (before, after))
    for kind, first, last, low, high in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        paired = last - first == high - low
        for place in range(first, last):
            if paired:
                yield from diff_values(before[place], after[low + place - first], f"{path}[{place}]")
            else:
                yield FieldChange(f"{path}[{place}]", before[place], ABSENT)
        if not paired:
            yield from (FieldChange(f"{path}[{place}]", ABSENT, after[place]) for place in range(low, high))


def _field(path: str, key: str) -> str:
    name = key if key.replace("_", "a").isalnum() else f"[{safe_text(key)}]"
    return f"{path}.{name}" if path and not name.startswith("[") else f"{path}{name}"
