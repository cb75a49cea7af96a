"""Tests that signals, changed rules and writes to the log end a wait of the agent."""

import os
import signal
from pathlib import Path

from adapters.node.wakeups import SystemWakeups, Wake
from adapters.system.inotify import FileWatch

LONG = 60.0
"""Timeout in seconds that no wait reaches."""


def test_signal_ends_a_wait() -> None:
    """SIGTERM ends the wait but not the process; the previous signal handler is restored afterwards."""
    before = signal.getsignal(signal.SIGTERM)
    with SystemWakeups().opened() as wait:
        os.kill(os.getpid(), signal.SIGTERM)
        assert wait(LONG) == {Wake.STOP}
        assert wait(0) == frozenset()
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_signal_stops_nothing() -> None:
    """A signal with its own handler ends the wait, but without a reason."""
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with SystemWakeups().opened() as wait:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert wait(LONG) == frozenset()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_changed_rules_end_a_wait() -> None:
    """A readable descriptor ends the wait with the reason that rules changed."""
    reader, writer = os.pipe()
    try:
        wakeups = SystemWakeups(rules=reader)
        assert wakeups.wake_reasons == {Wake.STOP, Wake.RULES}
        with wakeups.opened() as wait:
            assert wait(0) == frozenset()
            os.write(writer, b"x")
            assert wait(LONG) == {Wake.RULES}
    finally:
        os.close(reader)
        os.close(writer)


def test_written_log_ends_a_wait(tmp_path: Path) -> None:
    """Writes to the log and its side files are a reason; a write to another file in the folder is none."""
    log = tmp_path / "events.db"
    with FileWatch(str(log)) as watch:
        wakeups = SystemWakeups(log=watch)
        assert wakeups.wake_reasons == {Wake.STOP, Wake.LOG}
        with wakeups.opened() as wait:
            (tmp_path / "other").write_text("x")
            assert wait(LONG) == frozenset()
            (tmp_path / "events.db-wal").write_text("x")
            assert wait(LONG) == {Wake.LOG}


def test_time_goes_on() -> None:
    """The clock advances during a wait."""
    wakeups = SystemWakeups()
    first = wakeups.now()
    with wakeups.opened() as wait:
        wait(0.001)
    assert wakeups.now() > first
