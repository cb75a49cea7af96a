"""Old bodies are read for good, and those of the future are refused in words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.events import TierDeleted, body_from_json
from engine.events.upcasting import FutureVersion, Plain, Upcasters, upcast

STEPS: Upcasters = {
    ("tier.deleted", -1): lambda body: {"tier": str(body["t"]).lower()},
    ("tier.deleted", 0): lambda body: {"name": body["tier"]},
}
"""By which a tier's name stood under other keys in versions -1 and 0."""


@pytest.mark.parametrize(
    "body",
    [
        {"t": "OWN", "type": "tier.deleted", "version": -1},
        {"tier": "own", "type": "tier.deleted", "version": 0},
        {"name": "own", "type": "tier.deleted", "version": 1},
    ],
)
def test_a_body_of_any_version_says_the_same(body: Plain) -> None:
    """Step by step up to the one that is known."""
    assert body_from_json(json.dumps(body), STEPS) == TierDeleted(name="own")


def test_a_body_of_the_future_says_so() -> None:
    """The version, and the one that is known."""
    with pytest.raises(FutureVersion, match=r"tier\.deleted of version 2, this nodewall knows 1; use a newer nodewall"):
        body_from_json('{"name":"own","type":"tier.deleted","version":2}')


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        "{}",
        '{"type":"tier.deleted","version":0}',
        '{"type":"tier.deleted","version":"1","name":"own"}',
        '{"type":"tier.vanished","version":1}',
        '{"type":["tier.deleted"],"version":1}',
        "[" * 100_000,
    ],
)
def test_what_is_no_body_is_a_finding_of_the_model(text: str) -> None:
    """Versions that nobody can lead on from too."""
    with pytest.raises(ValidationError):
        body_from_json(text)


@given(st.integers(0, 5), st.integers(0, 5))
def test_each_step_is_taken_once(first: int, known: int) -> None:
    """From the version of a body to the one that is known, in order."""

    def step(body: Plain) -> Plain:
        return {**body, "seen": f"{body['seen']}{body['version']}"}

    steps = {("x", each): step for each in range(6)}
    body: Plain = {"type": "x", "version": first, "seen": ""}
    if first > known:
        with pytest.raises(FutureVersion):
            upcast(body, known, steps)
    else:
        assert upcast(body, known, steps) == {
            "type": "x",
            "version": known,
            "seen": "".join(map(str, range(first, known))),
        }
