"""The contract of :class:`engine.reconcile.log_interfaces.EventLog`, kept by the log in SQLite and by the one in memory."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

import pytest

from adapters.eventlog.compaction import compacted
from adapters.eventlog.in_memory import MemoryLog
from adapters.eventlog.jsonl import branched, exported
from adapters.eventlog.rows import LARGEST
from adapters.eventlog.snapshots import Snapshots
from adapters.eventlog.sources import LogSource
from adapters.system.clock import FixedClock, SystemIds
from engine.errors import EventsCompacted, EventTooLarge, IdTaken, LogConflict, LogCorrupt, LogUnusable
from engine.events import (
    BEGINNING,
    GENESIS,
    CompactedBase,
    EventMark,
    NodeDeleted,
    StoredEvent,
    chain_fault,
    deletion_of,
    timestamp,
)
from engine.events.outcomes import LogCompacted
from engine.reconcile.log_interfaces import EventLog
from engine.state.fold import fold_bodies
from tests.support.eventlog.both_logs import ID, KINDS, body, empty, filled, lose, tamper


@pytest.fixture(params=KINDS)
def missing(request: pytest.FixtureRequest) -> Iterator[EventLog]:
    """A log of each kind that is not there yet."""
    with empty(request.param) as log:
        yield log


@pytest.fixture
def log(missing: EventLog) -> EventLog:
    """An empty log of each kind."""
    missing.append([], source="test", expected=0)
    return missing


def test_missing_logs_are_made_by_appending_only(missing: EventLog) -> None:
    """Reading says that there is none."""
    reads: tuple[Callable[[], object], ...] = (
        missing.last_sequence,
        missing.begun,
        missing.base,
        missing.verify,
        lambda: list(missing.read()),
        lambda: list(missing.tail(BEGINNING)),
        lambda: list(missing.hashes()),
        partial(missing.sequence_of, ID),
        partial(missing.sequence_at, FixedClock().now()),
    )
    for read in reads:
        with pytest.raises(LogUnusable, match="no such log"):
            read()
    assert not missing.exists
    missing.append([], source="test", expected=0)
    assert missing.exists


def test_empty_logs_have_no_events(log: EventLog) -> None:
    """Appending nothing leaves nothing to read."""
    assert (log.last_sequence(), log.begun(), log.base().state) == (0, BEGINNING, b"")
    assert (list(log.read()), list(log.hashes()), log.verify()) == ([], [], 0)


def test_events_are_read_as_appended(log: EventLog) -> None:
    """In their order, each following the one before, as values and as they are stored."""
    events = filled(log)
    assert tuple(log.read()) == tuple(row.event() for row in log.rows()) == events
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5]
    assert (log.last_sequence(), log.verify()) == (5, 5)
    previous = GENESIS
    for event in events:
        assert chain_fault(previous, event) is None
        previous = event.hash


@pytest.mark.parametrize(
    "after,until", [(0, None), (0, 3), (2, 4), (4, None), (5, None), (9, None), (3, 3), (0, 0), (0, 9)]
)
def test_ranges_leave_out_after_and_include_until(log: EventLog, after: int, until: int | None) -> None:
    """As values and as rows."""
    events = filled(log)
    assert list(log.read(after, until)) == list(events[after:until])
    assert [row.sequence for row in log.rows(after, until)] == [event.sequence for event in events[after:until]]


def test_appends_that_expect_another_end_are_refused(log: EventLog) -> None:
    """A conflict names both sequences and appends nothing."""
    events = filled(log)
    for expected in (4, 6):
        with pytest.raises(LogConflict) as conflict:
            log.append([body(0)], source="test", expected=expected)
        assert (conflict.value.expected, conflict.value.found) == (expected, 5)
    assert tuple(log.read()) == events


def test_readers_see_the_moment_they_began_at(log: EventLog) -> None:
    """Whatever is appended meanwhile; a reader may stop early."""
    filled(log)
    reading = log.read()
    next(reading)
    log.append([NodeDeleted(name="n0")], source="test", expected=5)
    assert len(list(reading)) == 4
    assert next(log.read(after=5)).body == NodeDeleted(name="n0")


def test_appends_under_an_id_happen_once(log: EventLog) -> None:
    """However often it is tried, and whatever came after it."""
    log.append([body(0)], source="test", expected=0)
    bodies = [deletion_of("Node", "b"), deletion_of("Node", "c")]
    first = log.append(bodies, source="test", expected=1, known_by=ID)
    log.append([deletion_of("Node", "d")], source="test", expected=3)
    again = log.append(bodies, source="other", expected=1, known_by=ID)

    assert again == first
    assert (first[0].id, log.last_sequence(), log.sequence_of(ID), log.sequence_of("x")) == (ID, 4, 2, 0)
    for others in (bodies[:1][::-1] + bodies, bodies[1:]):
        with pytest.raises(IdTaken, match=f'event 2 has the id "{ID}" already, and says something else'):
            log.append(others, source="test", expected=4, known_by=ID)
    assert log.last_sequence() == 4


def test_events_that_are_too_large_are_refused(log: EventLog) -> None:
    """The error says which, and how much is too much; nothing of the call is appended."""
    room = LARGEST - len('{"name":"","type":"node.deleted","version":1}')
    log.append([deletion_of("Node", "n" * room)], source="test", expected=0)
    with pytest.raises(EventTooLarge, match=r"takes 1,048,577 bytes in the log; expected at most 1,048,576"):
        log.append([deletion_of("Pod", "a/b"), deletion_of("Node", "n" * (room + 1))], source="test", expected=1)
    assert log.last_sequence() == 1
    assert len(list(log.read())) == 1


def test_times_find_the_last_event_not_later(log: EventLog) -> None:
    """Events come a second apart here; before the first there is none."""
    events = filled(log)
    second = timedelta(seconds=1)
    assert [log.sequence_at(event.time) for event in events] == [1, 2, 3, 4, 5]
    assert log.sequence_at(events[2].time + second / 2) == 3
    assert (log.sequence_at(events[0].time - second), log.sequence_at(events[4].time + second)) == (0, 5)


def test_hashes_are_those_of_the_events(log: EventLog) -> None:
    """One by one, and one for itself."""
    found = [event.hash.encode() for event in filled(log)]
    assert (list(log.hashes()), list(log.hashes(3)), list(log.hashes(9))) == (found, found[3:], [])
    assert [log.hash_at(sequence) for sequence in (0, 1, 5, 6)] == [b"", found[0], found[4], b""]


def test_tails_follow_a_known_event(log: EventLog) -> None:
    """It stands for all before it, and what does not follow it is refused."""
    events = filled(log)
    known = EventMark(3, events[2].hash)
    assert list(log.tail(known)) == list(events[3:])
    tamper(log, 2, "source", "x")
    assert list(log.tail(known)) == list(events[3:])
    with pytest.raises(LogCorrupt, match="event 4"):
        list(log.tail(EventMark(3, events[1].hash)))


def test_filters_take_type_and_stored_body(log: EventLog) -> None:
    """What is passed over is verified but for its content."""
    filled(log)
    tamper(log, 2, "source", "x")
    found = list(log.some(lambda kind, text: kind == b"apply.failed" or b"n4" in text))
    assert [(row.sequence, log.said(row)) for row in found] == [(1, body(0)), (4, body(3)), (5, body(4))]
    assert [row.sequence for row in log.some(lambda *_: True, 1)] == [1]
    with pytest.raises(LogCorrupt, match="event 2"):
        list(log.some(lambda *_: True))


@pytest.mark.parametrize("column", ["time", "id", "source", "type", "body", "previous", "hash"])
@pytest.mark.parametrize("sequence", [1, 3, 5])
def test_changed_columns_are_found(log: EventLog, column: str, sequence: int) -> None:
    """Events before them are yielded, none from there on; reading from behind finds them too."""
    events = filled(log)
    tamper(log, sequence, column, "x")
    reading = log.read()
    assert [next(reading) for _ in range(sequence - 1)] == list(events[: sequence - 1])
    for broken in (lambda: next(reading), lambda: list(log.read(sequence)), log.verify):
        with pytest.raises(LogCorrupt) as found:
            broken()
        assert found.value.sequence == sequence


@pytest.mark.parametrize("sequence", [1, 3, 5])
def test_lost_events_are_found(log: EventLog, sequence: int) -> None:
    """Also at the end, where nothing can be appended then; a reader of less does not hear of it."""
    events = filled(log)
    lose(log, sequence)
    with pytest.raises(LogCorrupt, match=f"event {sequence} cannot be trusted: the event is missing"):
        log.verify()
    assert list(log.read(until=sequence - 1)) == list(events[: sequence - 1])
    if sequence == 5:
        with pytest.raises(LogCorrupt, match="event 5"):
            log.append([body(0)], source="test", expected=4)


def test_nothing_follows_a_damaged_end(log: EventLog) -> None:
    """A damaged newest event is refused when another would be chained to it."""
    filled(log)
    tamper(log, 5, "source", "x")
    with pytest.raises(LogCorrupt, match="event 5"):
        log.append([body(0)], source="test", expected=5)


def test_compacted_logs_begin_with_a_state(log: EventLog) -> None:
    """Later events keep their hashes, earlier ones are gone, and the state is on record."""
    events = filled(log)
    assert compacted(log, 3, None, "test").events == 3
    assert log.begun() == log.base().mark == EventMark(3, events[2].hash)
    assert fold_bodies(log.base().bodies()).outcomes == fold_bodies(event.body for event in events[:3]).outcomes
    assert [event.sequence for event in log.read()] == [4, 5, 6]
    assert (log.verify(), log.last_sequence()) == (3, 6)
    assert list(log.hashes())[:4] == [b"", b"", events[2].hash.encode(), events[3].hash.encode()]
    assert [log.sequence_at(event.time) for event in events] == [0, 0, 3, 4, 5]
    for early in (lambda: log.base(2), lambda: list(log.tail(EventMark(2, events[1].hash)))):
        with pytest.raises(EventsCompacted, match="what was before event 3 was compacted"):
            early()
    assert log.append([body(9)], source="test", expected=6)[0].sequence == 7


def test_states_without_a_record_are_found(log: EventLog) -> None:
    """A state that no event recorded does not stand for events."""
    filled(log)
    base = log.base()._replace(mark=EventMark(3, log.hash_at(3).decode()), state=b"")
    record = LogCompacted(until=3, last=base.mark.hash, state="0", events=3)
    log.compact(base, record, source="test", expected=5)
    for verify in (log.verify, log.verify_base):
        with pytest.raises(LogCorrupt, match="event 3 cannot be trusted: what stands for the compacted events"):
            verify()


@pytest.mark.parametrize("change", [{"time": "2000-01-01T00:00:00Z"}, {"after": "0" * 64}], ids=["time", "place"])
def test_records_of_other_states_do_not_count(log: EventLog, change: dict[str, str]) -> None:
    """A record has to name the time of the last compacted event, and the event that it follows."""
    events = filled(log)
    mark, state = EventMark(3, events[2].hash), b""
    base = CompactedBase(mark, timestamp(events[2].time), state)
    record = LogCompacted(until=3, last=mark.hash, state=base.digest, events=3, time=base.time, after=events[-1].hash)
    log.compact(base, record.model_copy(update=change), source="test", expected=5)
    assert not list(log.compactions())
    log.append([record.model_copy(update={"after": log.hash_at(6).decode()})], source="test", expected=6)
    assert [sequence for sequence, _ in log.compactions()] == [7]
    log.verify_base()


@pytest.mark.parametrize("other", KINDS)
def test_logs_take_the_events_of_others(log: EventLog, other: str) -> None:
    """Byte by byte, as a branch from either kind to either, compacted or not, and refused where they do not follow."""
    filled(log)
    rows = list(log.rows())
    compacted(log, 2, None, "test")
    with empty(other) as new:
        assert branched(log, new) == 6
        assert list(exported(new)) == list(exported(log))
        assert new.verify() == 4
        with pytest.raises(LogUnusable, match="append-only"):
            new.adopt(rows[:1], expected=6)
        with pytest.raises(LogConflict):
            new.adopt((), expected=0, base=log.base())
        new.discard()
        assert not new.exists
        with pytest.raises(LogCorrupt, match="not on record"):
            branched(log, new, 4)
        assert not new.exists


def test_snapshots_save_reading_again(log: EventLog) -> None:
    """A state is reached from the nearest snapshot; one that was removed or damaged is computed again."""
    filled(log, 9)
    snapshots = Snapshots(log, interval=4)
    whole = snapshots.reached()
    assert sorted(log.snapshots.sequences()) == [4, 8]
    tamper(log, 2, "source", "x")
    assert snapshots.reached() == whole
    snapshots.forget(5)
    assert list(log.snapshots.sequences()) == [8]
    assert snapshots.reached() == whole
    log.snapshots.save(8, b"junk")
    with pytest.raises(LogCorrupt, match="event 2"):
        snapshots.reached()
    log.snapshots.remove(8)
    log.snapshots.remove(8)
    assert log.snapshots.load(8) is None


def test_followers_hear_what_is_appended(log: EventLog) -> None:
    """Each event once, also in a log that is attached; who has no watch asks."""
    filled(log)
    source = LogSource(log, lambda config: config)
    with log.attached():
        assert source.start().sequence == 5
        assert source.news() == ()
        log.append([body(5), body(6)], source="test", expected=5)
        assert [news.body for news in source.news()] == [body(5), body(6)]
        assert source.news() == ()
    try:
        with log.watch() as watch:
            assert not watch.told()
            log.append([body(7)], source="test", expected=7)
            assert watch.told()
    except OSError:
        assert isinstance(log, MemoryLog)


def test_ids_are_never_given_twice(log: EventLog) -> None:
    """Events of another log under an id that is taken are refused as a whole."""
    filled(log, 2)
    (first, _) = log.rows()
    with empty("memory") as other:
        assert isinstance(other, MemoryLog)
        other.ids = SystemIds()
        branched(log, other)
        other.append([body(2)], source="test", expected=2)
        (last,) = other.rows(after=2)
    taken = StoredEvent(*last)._replace(id=first.id)
    with pytest.raises(IdTaken) as found:
        log.adopt([taken._replace(hash=taken.digest())], expected=2)
    assert found.value.sequence == 1
    assert log.last_sequence() == 2
