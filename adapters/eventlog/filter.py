"""Filters events by type, object, time and outcome, for ``nodewall log show``.

Input: the filter options of the command; types and objects are globs, as in Python's ``fnmatch``, case-sensitive.
Output: an :class:`EventFilter`, whose method ``takes`` accepts or rejects one event.

Raises ``Refused`` for a time that is not an RFC 3339 time with zone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from fnmatch import fnmatchcase

from engine.errors import Fault, Refused, safe_text
from engine.events import Event, EventBody, ObjectRefused, subject
from engine.events.outcomes import ApplyFailed, RulesetApplied


class OutcomeFilter(StrEnum):
    """Outcome of an event: applied, failed (at least one rule of an apply), or refused."""

    APPLIED = "applied"
    FAILED = "failed"
    REFUSED = "refused"


def outcome_of(body: EventBody) -> OutcomeFilter | None:
    """Return the outcome that an event reports, None if it reports none."""
    match body:
        case RulesetApplied(failed=failed):
            return OutcomeFilter.FAILED if failed else OutcomeFilter.APPLIED
        case ApplyFailed():
            return OutcomeFilter.FAILED
        case ObjectRefused():
            return OutcomeFilter.REFUSED
        case _:
            return None


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Filter of events; an empty field accepts every event.

    ``types`` and ``objects`` are globs, ``since`` and ``until`` are inclusive.
    """

    types: Sequence[str] = ()
    objects: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    outcomes: Sequence[OutcomeFilter] = ()

    def takes(self, event: Event) -> bool:
        """Return whether the filter accepts an event."""
        return (
            _fits(event.body.type, self.types)
            and _fits(subject(event.body), self.objects)
            and (self.since is None or event.time >= self.since)
            and (self.until is None or event.time <= self.until)
            and (not self.outcomes or outcome_of(event.body) in self.outcomes)
        )


def _fits(text: str, globs: Sequence[str]) -> bool:
    return not globs or any(fnmatchcase(text, glob) for glob in globs)


def time_of(text: str, option: str, expected: str = "an RFC 3339 time with zone") -> datetime:
    """Parse the time in the value of an option.

    Args:
        text: an RFC 3339 time.
        option: the option, for the error.
        expected: the expected form, for the error.

    Raises:
        Refused: the value is not a time, or has no zone.
    """
    try:
        time = datetime.fromisoformat(text)
        time.astimezone(UTC)
    except (ValueError, OverflowError):  # such as the first hours of year 1, which no zone to the west of them has
        time = None
    if time is None or time.tzinfo is None:
        raise Refused((Fault(option, f"found {safe_text(text)}", expected),))
    return time
