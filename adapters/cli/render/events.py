"""How single events are shown: what tells one from others, and what it changed in its object."""

from adapters.cli.render.object_diffs import edited_as_json, edited_as_lines
from engine.errors import plain
from engine.events import Event, subject, timestamp
from engine.state.object_diff import ObjectDiff


def head_as_json(event: Event) -> dict[str, object]:
    """Return what tells an event from others."""
    return {
        "sequence": event.sequence,
        "time": timestamp(event.time),
        "type": event.body.type,
        "object": subject(event.body),
        "source": event.source,
    }


def head_as_text(event: Event) -> str:
    """Return the same on one line, but for the source."""
    return plain(f"{event.sequence}  {timestamp(event.time)}  {event.body.type}  {subject(event.body)}")


def event_as_json(event: Event, edited: ObjectDiff | None) -> dict[str, object]:
    """Return an event with what it changed in its object."""
    return {**head_as_json(event), "change": edited_as_json(edited)}


MOST_EDITS = 12
"""Fields that people are shown of one event; JSON has all."""


def edits_as_lines(edited: ObjectDiff | None) -> list[str]:
    """Return what an event changed in its object, a field a line."""
    lines = list(map(plain, edited_as_lines(edited) if edited else ()))
    more = len(lines) - MOST_EDITS
    return [*lines[:MOST_EDITS], f"… and {more} more"] if more > 1 else lines
