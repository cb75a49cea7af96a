"""Renders the verdict changes between two rulesets, as JSON values and as text.

Input: :class:`VerdictChange` values: packets at one hook that get a new verdict, with an example and their number.
Output: dictionaries with the keys of the command line reference, or lines of text by address family and hook. In JSON,
numbers of packets are strings, because they can exceed 64 bits.
"""

from collections.abc import Sequence
from itertools import groupby

from adapters.cli.render.decisions import decision_as_json
from adapters.cli.render.output import coloured, plural
from engine.errors import printable
from simulator.analysis.compare import VerdictChange


def effect_as_json(changes: Sequence[VerdictChange]) -> dict[str, object]:
    """Return changes with the keys of the command line reference."""
    return {"equal": not changes, "changes": [change_as_json(change) for change in changes]}


def change_as_json(change: VerdictChange) -> dict[str, object]:
    """Return one change with the keys of the command line reference."""
    return {
        "hook": change.hook.value,
        "family": change.family.value,
        "from": change.was.value,
        "to": change.now.value,
        "count": str(change.count),
        "example": change.example.as_spec(),
        "old_decided_by": decision_as_json(change.old_decided_by),
        "new_decided_by": decision_as_json(change.new_decided_by),
        "summary": change.summary,
        "hull": {key: list(found) for key, found in change.hull.items()},
        "assumptions": list(change.assumptions),
    }


def effect_as_text(changes: Sequence[VerdictChange]) -> str:
    """Return changes as text, grouped by family and hook."""
    if not changes:
        return "no packet gets another verdict"
    return "\n".join([*changes_as_lines(changes), plural(len(changes), "change")])


def changes_as_lines(changes: Sequence[VerdictChange]) -> list[str]:
    """Return changes as lines of text, grouped by family and hook."""
    lines = []
    for (family, hook), group in groupby(changes, key=lambda change: (change.family, change.hook)):
        lines.append(f"{family.value} {hook.value}")
        for change in group:
            lines.append(f"  {_SIGNS[change.now.value]} {change.summary}")
            lines.append(f"      {coloured(change.was)} -> {coloured(change.now)} for {change.count:,} headers")
            lines.append(f"      as {change.example.words}")
            lines += (f"      assumed: {printable(text)}" for text in change.assumptions)
    return lines


def summary_lines(changes: Sequence[VerdictChange]) -> list[str]:
    """Return one line of text per change."""
    return [f"{_SIGNS[change.now.value]} {change.hook.value}: {change.summary}" for change in changes]


_SIGNS = {"accept": "+", "drop": "-", "reject": "!"}
"""New verdict -> sign before the change in text output."""
