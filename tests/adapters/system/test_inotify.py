"""Whoever follows a log is told as it is written, and not of its neighbours."""

import select
from pathlib import Path

import pytest

from adapters.eventlog.sqlite import SqliteLog
from adapters.system.clock import CountedIds, FixedClock
from adapters.system.inotify import FileWatch
from engine.events import deletion_of


def test_each_append_to_a_log_is_told(tmp_path: Path) -> None:
    """The first one, which makes the file, and every other; and each once."""
    log = SqliteLog(str(tmp_path / "events.db"), FixedClock(), CountedIds())
    with FileWatch(log.path) as watch:
        for number in range(3):
            assert not watch.told()
            log.append([deletion_of("Node", "n")], source="test", expected=number)
            assert select.select([watch.descriptor], [], [], 5)[0]
            assert watch.told()


def test_other_files_of_the_folder_are_none_of_it(tmp_path: Path) -> None:
    """What is written beside the file wakes, but is not told."""
    with FileWatch(str(tmp_path / "events.db")) as watch:
        (tmp_path / "other").write_text("x")
        assert select.select([watch.descriptor], [], [], 5)[0]
        assert not watch.told()


def test_a_folder_that_is_not_there_cannot_be_watched(tmp_path: Path) -> None:
    """It says so as the system does."""
    with pytest.raises(FileNotFoundError):
        FileWatch(str(tmp_path / "none" / "events.db"))


def test_looks_at_a_log_are_no_news_of_it(tmp_path: Path) -> None:
    """While it is attached to, reading makes no files and takes none away, so whoever is told does not wake himself."""
    log = SqliteLog(str(tmp_path / "events.db"), FixedClock(), CountedIds())
    log.append([deletion_of("Node", "n")], source="test", expected=0)
    with log.file.attached(), FileWatch(log.path) as watch:
        for _ in range(5):
            assert log.last_sequence() == 1
            assert len(list(log.read())) == 1
        assert not watch.told()
        log.append([deletion_of("Node", "n")], source="test", expected=1)
        assert watch.told()
