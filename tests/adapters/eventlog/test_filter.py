"""Which events of a log are shown, and which make a state of the past."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.cli import main
from adapters.eventlog.sqlite import SqliteLog
from adapters.system.clock import CountedIds, FixedClock
from engine.events import EventBody, ObjectRefused, deletion_of
from engine.events.outcomes import ApplyFailed, FailedRule, RulesetApplied

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
REFUSED = FailedRule(policy="p", rule="r", words="no")
BODIES: tuple[EventBody, ...] = (
    deletion_of("Node", "n1"),
    deletion_of("Pod", "shop/web"),
    RulesetApplied(node="n1", realized=2, ruleset="0", operations=1),
    RulesetApplied(node="n1", realized=2, ruleset="0", operations=1, failed=(REFUSED,)),
    ApplyFailed(node="n2", wanted=2, words="no"),
    ObjectRefused(kind="Tier", name="t", faults=()),
)


@given(st.lists(st.integers(0, 20)), st.integers(-1, 21))
def test_a_past_state_is_of_all_events_up_to_the_last_of_its_time(seconds: list[int], limit: int) -> None:
    """Also where the clock went back: the sequence rules, and no event is left out before another."""
    clock = FixedClock()
    with TemporaryDirectory() as folder:
        log = SqliteLog(f"{folder}/log", clock, CountedIds())
        log.append([], source="test", expected=0)
        for number, each in enumerate(seconds):
            clock.time = NOON + timedelta(seconds=each)
            log.append([BODIES[0]], source="test", expected=number)
        last = max((number for number, each in enumerate(seconds, 1) if each <= limit), default=0)

        assert log.sequence_at(NOON + timedelta(seconds=limit)) == last


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    """A log with an event a second."""
    made = SqliteLog(str(tmp_path / "log"), FixedClock(NOON), CountedIds())
    for number, body in enumerate(BODIES):
        made.append([body], source="test", expected=number)
    return made


@pytest.fixture
def shown(log: SqliteLog, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[int]]:
    """The sequences that ``log show`` shows with some options."""

    def show(*words: str) -> list[int]:
        assert main(["log", "show", "--log", log.path, "-o", "json", *words]) == 0
        return [json.loads(line)["sequence"] for line in capsys.readouterr().out.splitlines()]

    return show


@pytest.mark.parametrize(
    "words, sequences",
    [
        ((), [1, 2, 3, 4, 5, 6]),
        (("--type", "node.deleted"), [1]),
        (("--type", "*.deleted"), [1, 2]),
        (("--type", "*.deleted", "--type", "apply.*"), [1, 2, 5]),
        (("--object", "Node/*"), [1, 3, 4, 5]),
        (("--object", "Pod/shop/*"), [2]),
        (("--object", "Node/*", "--type", "ruleset.applied", "--from", "4"), [4]),
        (("--outcome", "applied"), [3]),
        (("--outcome", "failed"), [4, 5]),
        (("--outcome", "failed", "--outcome", "refused"), [4, 5, 6]),
        (("--since", "2026-01-01T12:00:02Z", "--until", "2026-01-01T13:00:03+01:00"), [3, 4]),
        (("--type", "nothing"), []),
    ],
)
def test_events_are_shown_by_what_they_are(
    shown: Callable[..., list[int]], words: tuple[str, ...], sequences: list[int]
) -> None:
    """All that is asked has to hold; of one option given again either."""
    assert shown(*words) == sequences


@pytest.mark.parametrize("option", ["--since", "--until"])
def test_a_time_without_zone_is_refused(log: SqliteLog, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whose noon it is must be said."""
    assert main(["log", "show", "--log", log.path, option, "2026-01-01T12:00:00"]) == 2
    assert capsys.readouterr().err == (
        f'error: {option}: found "2026-01-01T12:00:00"; expected an RFC 3339 time with zone\n'
    )


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Programs that are started hear SIGINT, which those of a shell's background ignore, and what they start too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_log_is_followed_as_it_grows(log: SqliteLog) -> None:
    """What is there is shown, and then what is appended, line by line, until it is interrupted."""
    words = ["log", "show", "--log", log.path, "--follow", "--from", "6", "--object", "*/t", "-o", "json"]
    with subprocess.Popen([sys.executable, "-m", "adapters.cli", *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["sequence"] == 6
            log.append([BODIES[0], BODIES[5]], source="test", expected=6)
            assert json.loads(process.stdout.readline())["sequence"] == 8
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_following_has_no_end(log: SqliteLog, capsys: pytest.CaptureFixture[str]) -> None:
    """An end and no end exclude each other."""
    assert main(["log", "show", "--log", log.path, "--follow", "--to", "3"]) == 2
    assert "--follow and --to exclude each other" in capsys.readouterr().err
