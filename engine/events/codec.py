"""Encodes event bodies as canonical JSON and decodes them from any known version.

Input and output: `EventBody` values and JSON bytes. Canonical JSON has sorted keys, no white space and UTF-8, so equal
values have equal hashes. Errors: `FutureVersion` for a body of a newer nodewall, ``pydantic.ValidationError`` for an
invalid body.
"""

import json
from datetime import UTC, datetime
from typing import get_args

from pydantic import TypeAdapter, ValidationError

from engine.bounded_json import parse_json
from engine.events.types import EventBody
from engine.events.upcasting import UPCASTERS, FutureVersion, Plain, Upcasters, upcast

_BODY = TypeAdapter[EventBody](EventBody)

_VERSIONS: dict[str, int] = {
    kind.model_fields["type"].default: kind.model_fields["version"].default for kind in get_args(get_args(EventBody)[0])
}
"""Body type -> current version of its schema."""


def canonical(value: object) -> bytes:
    """Return the canonical JSON of a value: sorted keys, no white space, UTF-8."""
    return _encode(value).encode()


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def timestamp(time: datetime) -> str:
    """Return the time as RFC 3339 in UTC with microseconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def body_as_json(body: EventBody) -> dict[str, object]:
    """Return a body as plain JSON values; absent fields are left out, so that new optional fields change no hash."""
    plain: dict[str, object] = _BODY.dump_python(body, mode="json", by_alias=True, exclude_none=True)
    return plain


def body_from_json(text: str | bytes, upcasters: Upcasters = UPCASTERS) -> EventBody:
    """Parse a body of any known version.

    Raises:
        FutureVersion: a newer nodewall wrote it.
        pydantic.ValidationError: the text is not a valid body.
    """
    try:
        return _BODY.validate_json(text)
    except ValidationError:
        # Bodies of older versions are rare, so all are tried as they are.
        older = _older(text, upcasters)
        if older is None:
            raise
        return _BODY.validate_json(canonical(older))


def _older(text: str | bytes, upcasters: Upcasters) -> Plain | None:
    """Return the upcast body if the text is a body of an older version, else None."""
    try:
        body = parse_json(text)
        if not isinstance(body, dict):
            return None
        now = upcast(body, _VERSIONS.get(body["type"], 0), upcasters)
    except FutureVersion as error:
        if error.known:
            raise
        return None  # of a type that is not known
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return None if now is body else now
