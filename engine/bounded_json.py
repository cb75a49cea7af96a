"""JSON parser with limits on size and nesting, for text from event logs, snapshots, the API server and its webhooks.

Input: text or bytes. Output: dict, list, str, int, float, bool and None. The nesting is limited, so that recursive code
(comparison, copy, canonical encoder) cannot exhaust the stack. Raises `JsonRefused`.

`parse_json` refuses a text that has any defect, such as too many levels or a number that is not finite. `parse_objects`
accepts a list in which some objects have defects; `defect_of` then finds the first defect of one object. So one bad
object does not hide the others.

Source: RFC 8259, sections 8.2 and 9, which allow limits on size, depth, range of numbers and characters.
"""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic_core import from_json

from engine.errors import FieldPath

MAX_BYTES = 64 << 20
"""Maximum bytes of a text. The first line of an exported log holds a whole cluster."""

MAX_DEPTH = 64
"""Maximum nesting levels of a text: `MAX_OBJECT_DEPTH` plus the levels of the event or list around an object."""

MAX_OBJECT_DEPTH = 50
"""Maximum nesting levels of one object. A policy has about 10; a Pod with all its managed fields about 20."""

MAX_OBJECT_VALUES = 200_000
"""Maximum number of values in one object. An event of 1 MiB can hold as many; validating more would take minutes."""

_MAX_DIGITS = 64
"""Maximum digits of an integer that is kept exact. Python refuses more than 4300; no API field has more than 20."""

# Possessive quantifiers, and an alternative for an unterminated string: no text causes backtracking.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)
_MAX_NESTING = 10_000
"""The parser stops at this nesting depth. No API server accepts such a text."""

_SHOWN_LEVELS = 5

_SURROGATE = re.compile("[\ud800-\udfff]")


class JsonRefused(ValueError):
    """The text is not JSON, or exceeds a limit."""


@dataclass(frozen=True, slots=True)
class Defect:
    """A value that this parser accepts, but that other JSON readers may refuse or change."""

    location: FieldPath
    problem: str
    expected: str


def parse_json(text: str | bytes, most: int = MAX_BYTES) -> object:
    """Parse a JSON text as a whole.

    Args:
        text: the JSON text.
        most: the maximum size in bytes.

    Raises:
        JsonRefused: the text is not JSON or exceeds a limit: ``most`` bytes, `MAX_DEPTH` levels, a number that is
            not finite, or an unpaired surrogate.
    """
    data = _bytes_of(text, most)
    try:
        value: object = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        deep = str(error).startswith("recursion limit exceeded")
        raise JsonRefused("nested too deep" if deep else f"not JSON: {error}") from None
    if defect := defect_of(value):
        raise JsonRefused(defect.problem)
    return value


def parse_objects(text: bytes, most: int = MAX_BYTES) -> object:
    """Parse a JSON text that holds objects of several owners, such as a list from the API server.

    If the text is nested too deep for the parser, values below `MAX_DEPTH` levels become null. Invalid numbers and
    characters are kept, so that `defect_of` can report their locations.

    Args:
        text: the JSON text.
        most: the maximum size in bytes.

    Raises:
        JsonRefused: the text is not JSON, or has more than ``most`` bytes.
    """
    data = _bytes_of(text, most)
    try:
        value: object = from_json(data, allow_inf_nan=False)  # accepts at most 200 levels
    except ValueError:
        value = _parse_unsound(data)
    return value


def _bytes_of(text: str | bytes, most: int) -> bytes:
    try:
        data = text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError:
        raise JsonRefused("found a surrogate without its pair") from None
    if len(data) > most:
        raise JsonRefused(f"found {len(data):,} bytes, more than {most:,}")
    return data


def _parse_unsound(data: bytes) -> object:
    text = _pruned(data.decode(errors="surrogateescape"))
    try:
        value: object = json.loads(text, parse_int=_integer)
    except ValueError as error:
        raise JsonRefused(f"not JSON: {error}") from None
    return value


def _integer(text: str) -> int | float:
    return int(text) if len(text) <= _MAX_DIGITS else float(text)


def _pruned(text: str) -> str:
    """Return the text with null in place of every value below `MAX_DEPTH` levels."""
    kept: list[str] = []
    depth = done = 0
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first in "[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept += text[done : token.start()], "null"
            elif depth > _MAX_NESTING:
                raise JsonRefused(f"nested too deep, more than {_MAX_NESTING:,} levels")
        elif first in "]}":
            if depth == MAX_DEPTH + 1:
                done = token.end()
            depth -= 1
    if depth > MAX_DEPTH:
        raise JsonRefused("not JSON: the text ends inside a value")
    return "".join((*kept, text[done:]))


_Trail = tuple["_Trail", int | str] | None
_Collection = dict[int | str, object] | list[object]
_Level = list[tuple[_Collection, _Trail]]


def defect_of_object(value: object) -> Defect | None:
    """Return the first defect of one object, by the limits of objects (see `defect_of`)."""
    return defect_of(value, MAX_OBJECT_DEPTH, MAX_OBJECT_VALUES)


def defect_of(value: object, deepest: int = MAX_DEPTH, most: float = math.inf) -> Defect | None:
    """Return the first defect of a value, or None; iterative, so depth cannot exhaust the stack.

    A defect is: more than ``deepest`` levels, more than ``most`` values, a number that is not finite, or an unpaired
    surrogate.
    """
    if not isinstance(value, dict | list):
        problem = _unsound(value)
        return Defect((), *problem) if problem else None
    level: _Level = [(value, None)]
    count = 0
    for _ in range(deepest):
        below: _Level = []
        count += sum(len(each) for each, _ in level)
        if count > most:
            return Defect((), "too many values", f"at most {most:,}")
        for each, trail in level:
            if defect := _defect_in(each, trail, below):
                return defect
        if not below:
            return None
        level = below
    return Defect(_location(level[0][1])[:_SHOWN_LEVELS], "nested too deep", f"at most {deepest} levels")


def _defect_in(collection: _Collection, trail: _Trail, below: _Level) -> Defect | None:
    """Return the first defect among the scalars of a collection; append its nested collections to ``below``."""
    items: Iterable[tuple[int | str, object]] = ()
    if isinstance(collection, dict):
        if problem := next(filter(None, map(_unsound, collection)), None):
            return Defect(_location(trail), *problem)
        items = collection.items()
    else:
        items = enumerate(collection)
    for key, item in items:
        if isinstance(item, dict | list):
            below.append((item, (trail, key)))
        elif problem := _unsound(item):
            return Defect(_location((trail, key)), *problem)
    return None


def _unsound(scalar: object) -> tuple[str, str] | None:
    """Return (problem, expected) for an invalid scalar, None for a valid one."""
    if isinstance(scalar, str):
        if not scalar.isascii() and _SURROGATE.search(scalar):
            return "found a surrogate without its pair", "Unicode characters"
    elif isinstance(scalar, float) and not math.isfinite(scalar):
        return "found a number that is not finite", "a number of at most 64 digits"
    return None


def _location(trail: _Trail) -> FieldPath:
    found: list[int | str] = []
    while trail is not None:
        trail, part = trail
        found.append(part)
    return tuple(reversed(found))
