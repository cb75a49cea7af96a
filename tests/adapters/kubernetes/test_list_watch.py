"""Waits between retries: short while an API server is away or starts, longer while it refuses."""

from adapters.kubernetes.api import list_watch
from tests.support.seeds import seeded


def test_waits_grow_and_are_never_the_same() -> None:
    """Each is twice the previous one, up to the longest, less a random part; a success starts over."""
    backoff = list_watch.Backoff(seeded(0))
    waits = [backoff.seconds() for _ in range(30)]
    assert all(0 < wait <= list_watch._LONGEST for wait in waits)
    assert len(set(waits)) == 30
    backoff.reset()
    assert backoff.seconds() <= list_watch._FIRST


def test_waits_stay_short_after_an_outage() -> None:
    """A server that starts refuses requests for a while; afterwards waits grow as ever."""
    backoff = list_watch.Backoff(seeded(0))
    away = [backoff.seconds(answered=False) for _ in range(20)]
    assert max(away) <= list_watch._AWAY
    starting = [backoff.seconds() for _ in range(list_watch._STARTING)]
    assert starting[0] <= list_watch._FIRST
    assert max(starting[:-1]) <= list_watch._AWAY
    assert max(backoff.seconds() for _ in range(5)) > list_watch._AWAY
