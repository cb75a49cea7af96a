"""Renders a Node's timeline as JSON and text, for ``nodewall history``: per event its outcome and the changed verdicts.

Input: :class:`TimelineEntry` values (an event with its effect on rules and packets), and :class:`TimelineVerdict`
values (the verdict of a packet from an event on). Output: dictionaries with the keys of the command line reference, or
lines of text.
"""

from collections.abc import Iterator, Sequence

import click

from adapters.application.past.timeline import TimelineEntry, TimelineVerdict
from adapters.cli.history.moments import PacketGroup
from adapters.cli.render.changes import change_as_json, summary_lines
from adapters.cli.render.events import edits_as_lines, event_as_json, head_as_text
from adapters.cli.render.output import plural
from engine.errors import printable
from engine.events import Event, ObjectRefused
from engine.events.outcomes import ApplyConfirmed, ApplyFailed, DriftRepaired, RulesetApplied
from simulator.analysis.compare import VerdictChange


def entry_as_json(entry: TimelineEntry) -> dict[str, object]:
    """Return an entry with the keys of the command line reference."""
    return {
        **event_as_json(entry.event, entry.change),
        "ops": entry.ops,
        "outcome": list(outcome_lines(entry.event)),
        "changes": None if entry.effect is None else [change_as_json(change) for change in entry.effect],
        "verdicts": [group.as_json() for group in groups_of(entry) if group.moved],
    }


def entry_as_text(entry: TimelineEntry) -> str:
    """Return an entry as lines of text."""
    lines = [printable(f"from {entry.event.source}"), *edits_as_lines(entry.change), *outcome_lines(entry.event)]
    if entry.ops:
        lines.append(plural(entry.ops, "op"))
    lines += effect_lines(entry.effect)
    lines += [group.as_text() for group in groups_of(entry) if group.moved]
    return "\n".join([click.style(head_as_text(entry.event), bold=True), *(f"    {line}" for line in lines)])


def turn_as_json(turn: TimelineVerdict) -> dict[str, object]:
    """Return a change of verdict with the keys of the command line reference."""
    return {"sequence": turn.sequence, "time": turn.time or None, "verdict": turn.verdict}


def groups_of(entry: TimelineEntry) -> tuple[PacketGroup, ...]:
    """Return a group for each packet of an entry, with its answers before and after the event."""
    return tuple(PacketGroup(was, now) for was, now in entry.answers)


def effect_lines(effect: Sequence[VerdictChange] | None) -> list[str]:
    """Return one line per verdict change, or one line that they are unknown if ``effect`` is None."""
    return ["which packets fare otherwise was not found out"] if effect is None else summary_lines(effect)


def outcome_lines(event: Event) -> Iterator[str]:
    """Yield the outcome that an event records as lines of text; nothing for an event without an outcome."""
    match event.body:
        case RulesetApplied(realized=state, operations=number, failed=failed):
            yield f"state {state} is in force, by {plural(number, 'operation')}"
            for rule in failed or ():
                yield printable(f"but for {rule.policy}/{rule.rule}: {rule.words}")
        case ApplyFailed(wanted=state, words=words):
            yield printable(f"state {state} could not be put in force: {words}")
        case ApplyConfirmed(realized=state):
            yield f"state {state} was confirmed"
        case DriftRepaired(found=found, operations=number):
            yield f"others had changed what is nodewall's; put right by {plural(number, 'operation')}"
            yield from map(printable, found)
        case ObjectRefused(faults=faults):
            for fault in faults:
                expected = f"; expected {fault.expected}" if fault.expected else ""
                yield printable(f"refused: {fault.path}: {fault.problem}{expected}")
        case _:
            pass
