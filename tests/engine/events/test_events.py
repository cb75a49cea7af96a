"""Events are chained by hashes over one canonical text."""

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.system.clock import CountedIds, FixedClock
from engine.events import (
    GENESIS,
    ConfigDeclared,
    Event,
    EventBody,
    HostObserved,
    NodeDeleted,
    ObjectRefused,
    Refusal,
    TierDeleted,
    body_as_json,
    body_from_json,
    canonical,
    chain_fault,
    declaration_of,
    deletion_of,
    subject,
    timestamp,
)
from engine.events.outcomes import ApplyConfirmed, ApplyFailed, ApplyProposed, DriftRepaired, FailedRule, RulesetApplied
from engine.objects import KINDS, ClusterObject, key_of
from engine.objects.config import Configuration
from tests.support.policies.object_strategies import names, objects

TIME = datetime(2025, 1, 2, 3, 4, 5, 6, tzinfo=UTC)

refusals = st.builds(Refusal, path=st.text(), problem=st.text(), expected=st.text())
configurations = st.builds(
    Configuration,
    interfaces=st.lists(st.sampled_from(("eth*", "ens160")), max_size=2).map(tuple),
    resolvers=st.none() | st.lists(st.ip_addresses().map(str), max_size=2).map(tuple),
    backend=st.sampled_from(("auto", "nft", "legacy")),
)

bodies: st.SearchStrategy[EventBody] = st.one_of(
    objects.map(declaration_of),
    st.builds(deletion_of, st.sampled_from(tuple(KINDS)), names),
    st.builds(
        RulesetApplied,
        node=names,
        realized=st.integers(0),
        ruleset=st.just("0" * 64),
        operations=st.integers(0),
        failed=st.none() | st.just((FailedRule(policy="p", rule="r", words="no"),)),
    ),
    st.builds(
        ApplyProposed,
        node=names,
        wanted=st.integers(0),
        ruleset=st.just("0" * 64),
        operations=st.integers(0),
        method=st.sampled_from(("in-place", "switch")),
    ),
    st.builds(ApplyConfirmed, node=names, realized=st.integers(0)),
    st.builds(
        DriftRepaired,
        node=names,
        found=st.lists(st.text(), max_size=2).map(tuple),
        operations=st.integers(0),
        pause=st.none() | st.floats(0, 60),
    ),
    st.builds(ApplyFailed, node=names, wanted=st.integers(0), words=st.text()),
    st.builds(ConfigDeclared, config=configurations),
    st.builds(HostObserved, node=names, interfaces=st.just(("eth0", "lo")), resolvers=st.just(("10.0.0.53",))),
    st.builds(
        ObjectRefused, kind=st.sampled_from(tuple(KINDS)), name=names, faults=st.lists(refusals, max_size=3).map(tuple)
    ),
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
    assert chain_fault(GENESIS, sealed) is None
    assert chain_fault("1" * 64, sealed) == "it does not follow the event before it"


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
    assert chain_fault(altered.previous, altered) == "its content does not match its hash"


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
    assert subject(declaration_of(item)) == subject(deletion_of(item.kind, key_of(item)))
    assert subject(declaration_of(item)) == f"{item.kind}/{key_of(item)}"


OLD = [
    (
        '{"policy":{"apiVersion":"crd.antrea.io/v1beta1","kind":"ClusterNetworkPolicy","metadata":{"labels":{},"name":"p"},'
        '"spec":{"appliedTo":[{"nodeSelector":{"matchExpressions":[],"matchLabels":{}}}],"egress":[],"ingress":'
        '[{"action":"Drop","enableLogging":false,"from":[{"ipBlock":{"cidr":"10.0.0.0/8","except":[]}}],'
        '"ports":[{"port":22,"protocol":"TCP"}]}],"priority":5.0,"tier":"application"}},'
        '"type":"policy.declared","version":1}'
    ),
    (
        '{"node":{"apiVersion":"v1","kind":"Node","metadata":{"labels":{},"name":"n"},"spec":{"podCIDRs":[]},"status":'
        '{"addresses":[{"address":"10.0.0.1","type":"InternalIP"}]}},"type":"node.observed","version":1}'
    ),
    (
        '{"tier":{"apiVersion":"crd.antrea.io/v1beta1","kind":"Tier","metadata":{"labels":{},"name":"t"},'
        '"spec":{"description":"","priority":5}},"type":"tier.declared","version":1}'
    ),
]
"""Bodies as logs have held them since before groups, logging and Pass were known."""


def test_keys_that_came_later_change_no_hash() -> None:
    """A configuration from before invariants has the hash that it had; one with them tells them."""
    older = body_as_json(ConfigDeclared(config=Configuration.model_validate({"families": ["IPv4"]})))
    digest = "a2f6666475e98e8017f465495b8299bdfcb1ad2c2c9f5127ba8fe22f88b1f900"
    assert hashlib.sha256(canonical(older)).hexdigest() == digest

    entry = {"name": "web", "hook": "INPUT", "where": "tcp", "must": "accept"}
    told = ConfigDeclared(config=Configuration.model_validate({"guard": {"invariants": [entry]}}))
    assert body_from_json(json.dumps(body_as_json(told))) == told


@pytest.mark.parametrize("text", OLD)
def test_bodies_of_older_logs_are_still_read(text: str) -> None:
    """Fields that an older body lacks have their defaults."""
    body = body_from_json(text)
    assert body_from_json(canonical(body_as_json(body))) == body


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_declaration_and_a_deletion_of_its_own(kind: str) -> None:
    """A deletion is of its kind, and read back as such."""
    body = deletion_of(kind, "x/y")
    assert body_from_json(canonical(body_as_json(body))) == body
    assert subject(body) == f"{kind}/x/y"


def test_the_subject_of_a_refusal_is_the_object() -> None:
    """``log show`` names the object that was refused."""
    assert subject(ObjectRefused(kind="Pod", name="x/p", faults=())) == "Pod/x/p"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"type":"x"}', '{"type":"node.deleted","name":"x","more":1}'])
def test_text_that_is_no_body_is_refused(text: str) -> None:
    """Unknown types, unknown fields and other JSON are validation errors."""
    with pytest.raises(ValidationError):
        body_from_json(text)
