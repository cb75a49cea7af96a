"""Events are chained by hashes over one canonical text."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.clock import CountedIds, FixedClock
from engine.events import (
    GENESIS,
    ApplyFailed,
    Event,
    EventBody,
    NodeDeleted,
    RulesetApplied,
    TierDeleted,
    body_as_json,
    body_from_json,
    canonical,
    chained,
    declared,
    deleted,
    subject,
    timestamp,
)
from engine.objects import KINDS, ClusterObject
from tests.strategies import names, objects

TIME = datetime(2025, 1, 2, 3, 4, 5, 6, tzinfo=UTC)

bodies: st.SearchStrategy[EventBody] = st.one_of(
    objects.map(declared),
    st.builds(deleted, st.sampled_from(tuple(KINDS)), names),
    st.builds(
        RulesetApplied, node=names, realized=st.integers(0), ruleset=st.just("0" * 64), operations=st.integers(0)
    ),
    st.builds(ApplyFailed, node=names, wanted=st.integers(0), words=st.text()),
)


def event(body: EventBody) -> Event:
    """Return a sealed first event."""
    clock, ids = FixedClock(TIME), CountedIds()
    return Event(sequence=1, time=clock.now(), id=ids.new(), source="test", body=body, previous=GENESIS).sealed()


@given(bodies)
def test_a_body_survives_json(body: EventBody) -> None:
    """What is written to the log is read back as the same body, with the same text."""
    text = canonical(body_as_json(body))
    assert body_from_json(text) == body
    assert canonical(body_as_json(body_from_json(text))) == text


@given(bodies)
def test_a_sealed_event_follows_the_one_it_names(body: EventBody) -> None:
    """A sealed event is accepted after the hash it names, and after no other."""
    sealed = event(body)
    assert chained(GENESIS, sealed) is None
    assert chained("1" * 64, sealed) == "it does not follow the event before it"


@pytest.mark.parametrize(
    "field,value",
    [
        ("sequence", 2),
        ("time", TIME + timedelta(microseconds=1)),
        ("id", "other"),
        ("source", "other"),
        ("body", NodeDeleted(name="other")),
        ("body", TierDeleted(name="x")),
        ("previous", "1" * 64),
    ],
)
def test_the_hash_covers_every_field(field: str, value: object) -> None:
    """A change of any field but the hash changes the digest."""
    sealed = event(NodeDeleted(name="x"))
    altered = sealed.model_copy(update={field: value})
    assert altered.digest() != sealed.hash
    assert chained(altered.previous, altered) == "its content does not match its hash"


@given(st.dictionaries(st.text(), st.integers() | st.text()))
def test_canonical_text_does_not_depend_on_the_order_of_keys(value: dict[str, object]) -> None:
    """A mapping has one canonical text, however it was built."""
    assert canonical(dict(reversed(value.items()))) == canonical(value)


def test_canonical_text_is_dense_utf8_with_sorted_keys() -> None:
    """There is no white space, keys are sorted, and characters stand for themselves."""
    assert canonical({"b": [1, None], "a": "ä"}) == '{"a":"ä","b":[1,null]}'.encode()


def test_timestamps_are_utc_with_microseconds() -> None:
    """A time of another zone is written in UTC, and zero microseconds are written too."""
    assert timestamp(datetime(2025, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))) == "2025-01-01T00:00:00.000000Z"


@given(objects)
def test_a_deletion_is_about_the_same_subject_as_its_declaration(item: ClusterObject) -> None:
    """``subject`` names kind and name alike for what is declared and what is deleted."""
    assert subject(declared(item)) == subject(deleted(item.kind, item.metadata.name))
    assert subject(declared(item)) == f"{item.kind}/{item.metadata.name}"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"type":"x"}', '{"type":"node.deleted","name":"x","more":1}'])
def test_text_that_is_no_body_is_refused(text: str) -> None:
    """Unknown types, unknown fields and other JSON are validation errors."""
    with pytest.raises(ValidationError):
        body_from_json(text)
