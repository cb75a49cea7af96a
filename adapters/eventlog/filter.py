"""Which events of a log are meant: by time, by type, by object, by what came of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase

from engine.errors import Fault, Refused, shown
from engine.events import Event, EventBody, ObjectRefused, subject
from engine.events.outcomes import ApplyFailed, RulesetApplied


class OutcomeFilter(StrEnum):
    """What came of something: it was applied, it failed (of an apply, a rule at least), or it was refused."""

    APPLIED = "applied"
    FAILED = "failed"
    REFUSED = "refused"


def outcome_of(body: EventBody) -> OutcomeFilter | None:
    """Return what came of it, None where an event tells of no outcome."""
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
    """Events of some types about some objects (both as globs), since and until some time, with some outcomes.

    Where nothing is said all are meant.
    """

    types: Sequence[str] = ()
    objects: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    outcomes: Sequence[OutcomeFilter] = ()

    def takes(self, event: Event) -> bool:
        """Return whether an event is meant."""
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
    """Return the time that an option gives.

    Raises:
        Refused: it is none, or has no zone.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise Refused((Fault(option, f"found {shown(text)}", expected),))
    return time
