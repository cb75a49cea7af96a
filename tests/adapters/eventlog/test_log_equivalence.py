"""Equivalence of the log in memory and the log in SQLite under random appends, compactions and damage."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.eventlog.compaction import compacted
from adapters.eventlog.snapshots import Snapshots
from adapters.system.clock import FixedClock
from engine.errors import LogError
from engine.events import (
    BEGINNING,
    EventMark,
)
from engine.reconcile.log_interfaces import EventLog
from tests.support.eventlog.both_logs import ID, body, empty, tamper


@dataclass(frozen=True)
class Append:
    """An append of so many events, whose expectation is off by so much, under one of two ids or none."""

    count: int
    off: int
    known_by: str | None

    def do(self, log: EventLog) -> object:
        """Return what is appended."""
        last = log.last_sequence() if log.exists else 0
        bodies = [body(self.count + number) for number in range(self.count)]
        return log.append(bodies, source="test", expected=last + self.off, known_by=self.known_by)


@dataclass(frozen=True)
class Compact:
    """A compaction up to a sequence."""

    until: int

    def do(self, log: EventLog) -> object:
        """Return how many events are gone."""
        return compacted(log, self.until, None, "test")


@dataclass(frozen=True)
class Tamper:
    """Another source of an event, if it is there."""

    sequence: int

    def do(self, log: EventLog) -> object:
        """Change it once, where there is an event."""
        if self.sequence in [row.sequence for row in log.rows()]:
            tamper(log, self.sequence, "source", "x")
        return None


STEPS = st.one_of(
    st.builds(Append, st.integers(0, 4), st.sampled_from((0, 0, 0, 0, 1, -1)), st.sampled_from((None, None, ID))),
    st.builds(Compact, st.integers(0, 12)),
)
STORIES = st.tuples(st.lists(STEPS, max_size=6), st.lists(st.builds(Tamper, st.integers(1, 9)), max_size=1))


def outcome(ask: Callable[[], object]) -> object:
    """What is returned; or the error, without the name of the log."""
    try:
        return ask()
    except LogError as error:
        return type(error), {key: value for key, value in vars(error).items() if key != "path"}


def seen(log: EventLog) -> list[object]:
    """Everything that can be asked of a log."""
    times = [FixedClock().now() + timedelta(seconds=number) for number in range(0, 20, 3)]
    marks = [BEGINNING, *(EventMark(sequence, log.hash_at(sequence).decode()) for sequence in (2, 5) if log.exists)]
    asks: list[Callable[[], object]] = [
        lambda: log.exists,
        log.last_sequence,
        log.begun,
        log.base,
        log.verify,
        log.verify_base,
        lambda: list(log.hashes()),
        lambda: Snapshots(log, interval=3).reached(),
        *(partial(log.base, until) for until in (0, 3, 9)),
        *(partial(lambda after, until: list(log.rows(after, until)), *some) for some in ((0, None), (2, 5), (7, None))),
        *(
            partial(lambda until: list(log.some(lambda kind, _: kind == b"node.deleted", until)), it)
            for it in (4, None)
        ),
        *(partial(lambda mark: list(log.tail(mark)), mark) for mark in marks),
        *(partial(log.sequence_at, time) for time in times),
        *(partial(log.sequence_of, known) for known in (ID, "x")),
    ]
    return [outcome(ask) for ask in asks]


@settings(max_examples=60)
@given(STORIES)
def test_both_logs_tell_the_same(story: tuple[list[Append | Compact], list[Tamper]]) -> None:
    """Whatever was done to them: same results, same errors, and the same bytes of every row."""
    with empty("memory") as one, empty("sqlite") as other:
        for step in (*story[0], *story[1]):
            assert outcome(partial(step.do, one)) == outcome(partial(step.do, other))
            assert seen(one) == seen(other)
