"""The event log in SQLite sees tampering and other writers; what all logs do is in test_log_contract."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from uuid import UUID

import pytest

from adapters.eventlog.sqlite import SqliteLog
from adapters.system.clock import CountedIds, FixedClock, SystemClock, SystemIds
from engine.errors import LogBusy, LogCorrupt, LogError, LogUnusable
from engine.events import Event, NodeObserved
from engine.objects import Node
from engine.reconcile.log_interfaces import EventLog
from tests.support.rulesets.ruleset_builders import SOAK

COLUMNS = ("sequence", "time", "id", "source", "type", "body", "previous", "hash")


def observed(name: str) -> NodeObserved:
    """Return the body of an event."""
    labels = {"app": "x" * 50}
    return NodeObserved(
        node=Node.model_validate({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
    )


def sqlite_log(path: Path, wait: float = 5.0) -> SqliteLog:
    """Return a log with predictable times; ids are never given twice, as several writers have the same log."""
    return SqliteLog(str(path), FixedClock(), SystemIds(), wait)


def filled(log: EventLog, count: int = 5) -> tuple[Event, ...]:
    """Append events, two of them at a time at most, and return them."""
    events: tuple[Event, ...] = ()
    while len(events) < count:
        some = [observed(f"n{len(events) + number}") for number in range(min(2, count - len(events)))]
        events += log.append(some, source="tést", expected=len(events))
    return events


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a SQLite log with five events."""
    filled(sqlite_log(tmp_path / "log"))
    return tmp_path / "log"


def test_a_reopened_log_goes_on_where_it_ended(path: Path) -> None:
    """Another object on the same file reads the same events and appends after them."""
    before = tuple(sqlite_log(path).read())
    new = sqlite_log(path).append([observed("z")], source="test", expected=5)
    assert (*before, *new) == tuple(sqlite_log(path).read())
    assert sqlite_log(path).verify() == 6


def test_a_missing_log_is_not_made_by_reading(tmp_path: Path) -> None:
    """Reading says that there is none; only appending makes it, for its owner alone."""
    missing = sqlite_log(tmp_path / "log")
    for read in (missing.verify, missing.last_sequence):
        with pytest.raises(LogUnusable, match="no such log"):
            read()
    assert not missing.exists
    assert list(tmp_path.iterdir()) == []
    filled(missing)
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    assert missing.exists


def test_reading_changes_nothing(path: Path) -> None:
    """The file is byte for byte the same after it was read."""
    before = path.read_bytes()
    sqlite_log(path).verify()
    assert path.read_bytes() == before


def test_what_cannot_be_a_log_says_so(tmp_path: Path) -> None:
    """Directories, text, other databases and impossible paths are refused and left as they are."""
    text, other = tmp_path / "text", tmp_path / "other"
    text.write_text("not a database, " * 100)
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE t (a)")
    for file in (text, other):
        before = file.read_bytes()
        for use in (lambda it: it.verify(), filled):
            with pytest.raises(LogUnusable, match="not an event log"):
                use(sqlite_log(file))
        assert file.read_bytes() == before
    with pytest.raises(LogUnusable):
        filled(sqlite_log(tmp_path))
    with pytest.raises(LogUnusable):
        filled(sqlite_log(tmp_path / "no" / "log"))


def test_a_log_from_the_future_is_refused(path: Path) -> None:
    """A format that is not known is neither read nor appended to."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 3")
    with pytest.raises(LogUnusable, match="the log has format 3, this nodewall knows 2; use a newer nodewall"):
        sqlite_log(path).verify()
    with pytest.raises(LogUnusable):
        sqlite_log(path).append([], source="test", expected=5)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET source = 'x'",
        "DELETE FROM events WHERE sequence = 5",
        "INSERT INTO events SELECT 7, time, id, source, type, body, previous, hash FROM events WHERE sequence = 5",
        "REPLACE INTO events SELECT * FROM events WHERE sequence = 5",
    ],
)
def test_the_file_itself_only_grows(path: Path, statement: str) -> None:
    """SQLite refuses updates, deletions, replacements and gaps."""
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)


def tamper(path: Path, statement: str) -> None:
    """Change a log behind its back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for trigger in ("no_update", "no_delete", "in_order"):
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute(statement)


def yielded(log: SqliteLog, after: int = 0) -> tuple[list[Event], LogError | None]:
    """Return what is read and the error at its end."""
    events: list[Event] = []
    try:
        events.extend(log.read(after))
    except LogError as error:
        return events, error
    return events, None


@pytest.mark.parametrize("column", COLUMNS[1:])
@pytest.mark.parametrize("sequence", [1, 3, 5])
def test_a_changed_character_of_any_column_is_seen(path: Path, column: str, sequence: int) -> None:
    """One other character is found at its event, and nothing from there on is yielded, wherever reading begins."""
    sound = list(sqlite_log(path).read())
    changed = f"substr({column}, 1, 9) || char(unicode(substr({column}, 10)) + 1) || substr({column}, 11)"
    if column in {"source", "type"}:
        changed = f"{column} || 'x'"
    tamper(path, f"UPDATE events SET {column} = {changed} WHERE sequence = {sequence}")  # noqa: S608 - names and numbers of this test
    log = sqlite_log(path)
    for after in (0, sequence):
        events, error = yielded(log, after)
        assert isinstance(error, LogCorrupt)
        assert error.sequence == sequence
        assert events == sound[after : sequence - 1]
    with pytest.raises(LogCorrupt):
        log.verify()


@pytest.mark.parametrize(
    "statement,sequence",
    [
        ("UPDATE events SET sequence = 9 WHERE sequence = 3", 3),
        ("DELETE FROM events WHERE sequence = 3", 3),
        ("DELETE FROM events WHERE sequence = 1", 1),
        ("DELETE FROM events WHERE sequence = 5", 5),
        ("DELETE FROM events", 1),
        ("UPDATE sqlite_sequence SET seq = 3", 6),
        ("UPDATE events SET body = '{}' WHERE sequence = 4", 4),
        ("UPDATE events SET time = CAST(x'ff' AS TEXT) WHERE sequence = 2", 2),
        ("INSERT INTO events SELECT 6, time, 'x', source, type, body, previous, hash FROM events WHERE sequence = 5", 6),
        ("ALTER TABLE events RENAME COLUMN body TO b", 1),
        ("DROP TABLE events", 1),
    ],
)  # fmt: skip
def test_rows_that_are_gone_moved_or_added_are_seen(path: Path, statement: str, sequence: int) -> None:
    """The first sequence that is not as it was is named, at the end of the log too."""
    tamper(path, statement)
    events, error = yielded(sqlite_log(path))
    assert isinstance(error, LogCorrupt)
    assert error.sequence == sequence
    assert len(events) == sequence - 1


def test_nothing_is_appended_to_a_damaged_end(path: Path) -> None:
    """A damaged newest event, or a missing one, is refused when another would be chained to it."""
    tamper(path, "UPDATE events SET source = 'x' WHERE sequence = 5")
    with pytest.raises(LogCorrupt, match="event 5"):
        sqlite_log(path).append([observed("z")], source="test", expected=5)


def test_a_flipped_byte_anywhere_in_the_file_never_yields_an_altered_event(path: Path, tmp_path: Path) -> None:
    """Whatever byte of the file changes, what is read is what was appended, up to an error that says where it ends."""
    sound = list(sqlite_log(path).read())
    whole = path.read_bytes()
    copy = tmp_path / "copy"
    seen = 0
    for offset in [*range(100), *range(100, len(whole), 23)]:
        damaged = bytearray(whole)
        damaged[offset] ^= 0x15
        copy.write_bytes(damaged)
        for leftover in ("-wal", "-shm"):
            (tmp_path / f"copy{leftover}").unlink(missing_ok=True)
        events, error = yielded(sqlite_log(copy))
        assert events == sound[: len(events)]
        assert error or events == sound
        assert error is None or isinstance(error, LogCorrupt | LogUnusable)
        seen += error is not None
    assert seen > 50


def test_every_flipped_byte_of_an_event_is_seen(path: Path, tmp_path: Path) -> None:
    """No byte of a stored text can change unseen."""
    whole = path.read_bytes()
    copy = tmp_path / "copy"
    third = list(sqlite_log(path).read())[2]
    start = whole.index(third.id.encode())
    for offset in range(start, start + 300, 7):
        damaged = bytearray(whole)
        damaged[offset] ^= 0x01
        copy.write_bytes(damaged)
        with pytest.raises(LogCorrupt):
            sqlite_log(copy).verify()


def test_a_log_on_a_read_only_medium_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SQLite cannot put its side files, reading does without them."""
    monkeypatch.setattr("os.access", lambda *_: False)
    assert sqlite_log(path).verify() == 5
    assert [file.name for file in path.parent.iterdir()] == ["log"]


def test_a_truncated_file_is_seen(path: Path) -> None:
    """A file whose end is gone is no longer trusted."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 4096)
    with pytest.raises(LogError):
        sqlite_log(path).verify()


HOLD = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
c.execute("ROLLBACK")
c.close()
"""


@pytest.fixture
def other_writer(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Return another process that holds the log for writing."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.close()


def test_a_second_writer_is_told_who_holds_the_log(path: Path, other_writer: subprocess.Popen[str]) -> None:
    """After the wait, the error names the process and its command; readers are not held up."""
    with pytest.raises(LogBusy) as busy:
        sqlite_log(path, wait=0.1).append([observed("z")], source="test", expected=5)
    assert busy.value.waited == 0.1
    assert busy.value.holder.startswith(f'process {other_writer.pid} ("')
    assert "BEGIN IMMEDIATE" in busy.value.holder or "sqlite3" in busy.value.holder
    assert sqlite_log(path, wait=0.1).verify() == 5


def test_a_second_writer_waits_its_turn(path: Path, other_writer: subprocess.Popen[str]) -> None:
    """Within the wait, the append goes on as soon as the log is free."""
    assert other_writer.stdin is not None
    other_writer.stdin.close()
    assert len(sqlite_log(path, wait=30).append([observed("z")], source="test", expected=5)) == 1


def test_a_writer_that_died_leaves_nothing_half_done(path: Path, other_writer: subprocess.Popen[str]) -> None:
    """The log is free and whole after its writer was killed."""
    other_writer.kill()
    other_writer.wait()
    assert sqlite_log(path).verify() == 5
    assert sqlite_log(path).append([observed("z")], source="test", expected=5)[0].sequence == 6


def test_a_log_whose_folder_is_copied_is_the_same_log(path: Path, tmp_path: Path) -> None:
    """The file alone is the log once no one has it open."""
    shutil.copy(path, tmp_path / "copy")
    assert sqlite_log(tmp_path / "copy").verify() == 5


@pytest.mark.parametrize("ids", [SystemIds(), CountedIds()])
def test_ids_are_unique_uuids_of_version_7(ids: SystemIds | CountedIds) -> None:
    """Both makers of ids return sorted, valid UUIDv7 text."""
    made = [ids.new() for _ in range(100)]
    assert len(set(made)) == 100
    assert all(UUID(text).version == 7 and str(UUID(text)) == text for text in made)


def test_clocks_tell_aware_times() -> None:
    """The system's clock is in UTC, the fixed one moves a second each time."""
    assert SystemClock().now().tzname() == "UTC"
    clock = FixedClock()
    assert (clock.now() - clock.now()).total_seconds() == -1


@pytest.mark.parametrize("how", [(), ("compacting",)])
def test_whenever_a_writer_is_killed_every_acknowledged_event_is_there(tmp_path: Path, how: tuple[str, ...]) -> None:
    """None is lost and none is torn, and the next writer goes on; also where it was about to compact the log."""
    count = 1000 if SOAK else 100
    command = [sys.executable, "-m", "tests.support.eventlog.killed_writers", str(tmp_path / "log"), str(count), *how]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{count} writers killed")
