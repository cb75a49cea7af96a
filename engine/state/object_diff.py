"""What an event changed, field by field, in the object that it is about."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum

from pydantic import BaseModel

from engine.errors import shown
from engine.events import ConfigDeclared, Declaration, Deletion, EventBody, HostObserved
from engine.objects import key_of
from engine.state.fold import ClusterState

JsonValue = object


class _Absent(StrEnum):
    ABSENT = "absent"


ABSENT = _Absent.ABSENT
"""What a field holds that is not there."""


class ObjectChangeKind(StrEnum):
    """What became of an object."""

    NEW = "new"
    CHANGED = "changed"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that came to hold another value; either may be `ABSENT`.

    Entries of a list count as the list holds them that they are in, the old one or the new one.
    """

    path: str
    before: JsonValue
    after: JsonValue

    def __str__(self) -> str:
        """Return it on one line, as patches have it."""
        if self.before is ABSENT:
            return f"+ {self.path}: {_short(self.after)}"
        if self.after is ABSENT:
            return f"- {self.path}: {_short(self.before)}"
        return f"~ {self.path}: {_short(self.before)} -> {_short(self.after)}"

    def as_json(self) -> dict[str, object]:
        """Return it as plain values; a side that is not there is left out."""
        sides = (("before", self.before), ("after", self.after))
        return {"path": self.path, **{side: value for side, value in sides if value is not ABSENT}}


@dataclass(frozen=True, slots=True)
class ObjectDiff:
    """What an event did to its object, and where that was there before and after, which fields are others."""

    how: ObjectChangeKind
    edits: tuple[FieldChange, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """It as lines for people."""
        whole = {ObjectChangeKind.NEW: "+ it is new", ObjectChangeKind.GONE: "- it is gone"}
        return (whole[self.how],) if self.how in whole else tuple(map(str, self.edits))

    def as_json(self) -> dict[str, object]:
        """Return it as plain values."""
        return {"how": self.how.value, "fields": [each.as_json() for each in self.edits]}


def edited(state: ClusterState, body: EventBody) -> ObjectDiff | None:
    """Return what an event does to its object as a state has it; None of events that are about no object."""
    before: BaseModel | None
    after: BaseModel | None
    match body:
        case Deletion():
            before, after = state.objects(body.kind).get(body.name), None
        case ConfigDeclared():
            before, after = state.config, body.config
        case HostObserved():
            before, after = state.hosts.get(body.node), body
        case _ if isinstance(body, Declaration):
            before, after = state.objects(body.object.kind).get(key_of(body.object)), body.object
        case _:
            return None
    if after is None:
        return ObjectDiff(ObjectChangeKind.GONE)
    if before is None:
        return ObjectDiff(ObjectChangeKind.NEW)
    return ObjectDiff(ObjectChangeKind.CHANGED, tuple(edits(_plain(before), _plain(after))))


def _plain(item: BaseModel) -> JsonValue:
    return item.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)


def edits(before: JsonValue, after: JsonValue, path: str = "") -> Iterator[FieldChange]:
    """Yield where two plain JSON values differ, as deep inside as they can be told apart."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            yield from edits(before.get(key, ABSENT), after.get(key, ABSENT), _field(path, str(key)))
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
                yield from edits(before[place], after[low + place - first], f"{path}[{place}]")
            else:
                yield FieldChange(f"{path}[{place}]", before[place], ABSENT)
        if not paired:
            yield from (FieldChange(f"{path}[{place}]", ABSENT, after[place]) for place in range(low, high))


def _field(path: str, key: str) -> str:
    name = key if key.replace("_", "a").isalnum() else f"[{shown(key)}]"
    return f"{path}.{name}" if path and not name.startswith("[") else f"{path}{name}"


_LONGEST = 100


def _short(value: JsonValue) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
