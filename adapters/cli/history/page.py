"""Renders a Node's timeline as one self-contained HTML page, for ``nodewall history``.

Input: a :class:`Timeline` (packets to follow and their verdict changes) and its entries (events with their effect).
Output: HTML that contains its scripts and data, so the page makes no network requests. Characters of the data that
could end the script element are escaped.
"""

import json
from collections.abc import Sequence
from importlib.resources import files

from adapters.application.past.timeline import Timeline, TimelineEntry
from adapters.cli.history.timeline import effect_lines, groups_of, outcome_lines, turn_as_json
from adapters.cli.render.events import edits_as_lines, head_as_json
from adapters.cli.render.output import plural

_DATA = "/*DATA*/"
_ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""Characters that could end or break the script element with the data, and their escapes."""


def page(node: str, timeline: Timeline, entries: Sequence[TimelineEntry]) -> str:
    """Return the HTML page of a Node's timeline."""
    data = {
        "node": node,
        "leftOut": timeline.left_out,
        "entries": [_entry(each) for each in entries],
        "packets": [
            {"words": packet.words, "turns": [turn_as_json(turn) for turn in turns]}
            for packet, turns in zip(timeline.packets, timeline.turns, strict=True)
        ],
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for mark, escaped in _ESCAPED.items():
        text = text.replace(mark, escaped)
    template = files("adapters.cli.history").joinpath("page.html").read_text(encoding="utf-8")
    return template.replace(_DATA, text, 1)


def _entry(entry: TimelineEntry) -> dict[str, object]:
    event = entry.event
    return {
        **head_as_json(event),
        "edits": edits_as_lines(entry.change),
        "outcome": list(outcome_lines(event)),
        "ops": plural(entry.ops, "op") if entry.ops else "",
        "effect": effect_lines(entry.effect),
        "turns": [place for place, group in enumerate(groups_of(entry)) if group.moved],
    }
