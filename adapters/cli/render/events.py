"""Renders an event of a log as JSON and text: its sequence number, time, type and object, and what it changed.

Input: an :class:`Event`, and an :class:`ObjectDiff` (the changed fields of its Kubernetes object) or None. Output: JSON
values with all changed fields, or lines of text, shortened after 12 fields.
"""

from adapters.cli.render.object_diffs import object_diff_as_json, object_diff_as_lines
from engine.errors import printable
from engine.events import Event, subject, timestamp
from engine.state.object_diff import ObjectDiff


def head_as_json(event: Event) -> dict[str, object]:
    """Return the identifying fields of an event."""
    return {
        "sequence": event.sequence,
        "time": timestamp(event.time),
        "type": event.body.type,
        "object": subject(event.body),
        "source": event.source,
    }


def head_as_text(event: Event) -> str:
    """Return the identifying fields on one line, without the source."""
    return printable(f"{event.sequence}  {timestamp(event.time)}  {event.body.type}  {subject(event.body)}")


def event_as_json(event: Event, edited: ObjectDiff | None) -> dict[str, object]:
    """Return an event with its object diff."""
    return {**head_as_json(event), "change": object_diff_as_json(edited)}


MOST_EDITS = 12
"""Most changed fields per event in text output; JSON has all."""


def edits_as_lines(edited: ObjectDiff | None) -> list[str]:
    """Return the changed fields of an event's object, one per line."""
    lines = list(map(printable, object_diff_as_lines(edited) if edited else ()))
    more = len(lines) - MOST_EDITS
    return [*lines[:MOST_EDITS], f"… and {more} more"] if more > 1 else lines
