"""What a log is given that is too large, comes twice, is of another time, or is no log at all."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from adapters import wiring
from adapters.eventlog.sqlite import SqliteLog
from adapters.eventlog.sqlite_file import LogFile
from adapters.system.clock import CountedIds, FixedClock
from engine.errors import LogCorrupt, LogUnusable
from engine.events import StoredEvent, deletion_of
from engine.reconcile.log_interfaces import LogReader
from tests.support.cli.command_line import Run
from tests.support.policies.issue_5671 import CHANGED, NODES, POLICY

ID = "0192f0c1-2345-7678-9abc-def012345678"


def old(path: Path, ids: list[str]) -> SqliteLog:
    """A log of format 1 that has events of these ids."""
    log = SqliteLog(str(path), FixedClock(), CountedIds())
    log.append([deletion_of("Node", f"n{number}") for number in range(len(ids))], source="test", expected=0)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in ("INDEX ids", "TABLE summary", "TRIGGER in_order", "TRIGGER no_update"):
            connection.execute(f"DROP {statement}")
        connection.execute(
            "CREATE TRIGGER in_order BEFORE INSERT ON events "
            "WHEN NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM events) "
            "BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END"
        )
        for sequence, each in enumerate(ids, 1):
            connection.execute("UPDATE events SET id = ? WHERE sequence = ?", (each, sequence))
        connection.execute("PRAGMA user_version = 1")
    resealed(log)
    return log


def resealed(log: LogReader) -> None:
    """Give the events of a log the hashes that they have to have."""
    with closing(sqlite3.connect(log.name, isolation_level=None)) as connection:
        rows = connection.execute("SELECT * FROM events ORDER BY sequence").fetchall()
    previous = b"0" * 64
    for columns in rows:
        row = StoredEvent(columns[0], *(text.encode() for text in columns[1:]))._replace(previous=previous)
        previous = row.digest()
        with closing(sqlite3.connect(log.name, isolation_level=None)) as connection:
            connection.execute(
                "UPDATE events SET previous = ?, hash = ? WHERE sequence = ?",
                (row.previous.decode(), previous.decode(), row.sequence),
            )


def test_an_older_format_is_read_and_goes_on_in_the_newest(tmp_path: Path) -> None:
    """Reading leaves it as it is; an append brings it to the newest, and every event stays."""
    log = old(tmp_path / "log", ["a", "b", "c"])
    before = Path(log.path).read_bytes()
    assert (log.verify(), log.last_sequence(), log.base().mark.sequence) == (3, 3, 0)
    assert Path(log.path).read_bytes() == before
    events = list(log.read())
    log.append([deletion_of("Node", "z")], source="test", expected=3)
    assert list(log.read(until=3)) == events
    with closing(sqlite3.connect(log.path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("INSERT INTO events SELECT 5, time, 'a', source, type, body, previous, hash FROM events")


def test_ids_that_came_twice_before_are_found_out(tmp_path: Path) -> None:
    """Nothing is appended to such a log, which stays in its format."""
    log = old(tmp_path / "log", ["a", "b", "a"])
    with pytest.raises(LogCorrupt, match="event 3 cannot be trusted: its id is that of event 1"):
        log.append([deletion_of("Node", "z")], source="test", expected=3)
    assert log.verify() == 3


def test_ids_that_come_twice_are_not_imported(run: Run, tmp_path: Path) -> None:
    """The line of an export that says so is refused, and nothing of its group comes."""
    log = old(tmp_path / "log", ["a", "b", "a"])
    dump = tmp_path / "dump"
    dump.write_text(run("log", "export", "--log", log.path)[1])
    code, out, err = run("log", "import", "--log", str(tmp_path / "other"), str(dump))
    assert (code, out, err) == (
        2,
        "",
        [f'error: {tmp_path / "other"}: event 1 has the id "a" already, and says something else'],
    )
    assert not wiring.event_log(str(tmp_path / "other")).exists
    assert run("log", "append", "--log", str(tmp_path / "other"), "-f", NODES)[0] == 0


def test_a_command_can_be_tried_again(run: Run, tmp_path: Path) -> None:
    """The first time decides, also where it is given again with more."""
    path = str(tmp_path / "log")
    words = ("log", "append", "--log", path, "--id", ID.upper(), "-f", NODES, "-f", POLICY)
    assert run(*words)[1] == "appended 4 events; the log is at sequence 4\n"
    assert run("log", "append", "--log", path, "-f", CHANGED)[0] == 0
    assert run(*words)[:2] == (0, "appended before, from event 1 on\n")
    assert json.loads(run(*words, "-o", "json")[1]) == {"appended": 0, "sequence": 5, "known": 1}
    assert run("log", "append", "--log", path, "--id", "mine", "-f", POLICY)[2] == [
        'error: --id: found "mine"; expected a UUID'
    ]


def test_an_object_that_is_too_large_is_one_line(run: Run, tmp_path: Path) -> None:
    """And the log is as it was."""
    path, large = str(tmp_path / "log"), tmp_path / "large.yaml"
    assert run("log", "append", "--log", path, "-f", NODES)[0] == 0
    blocks = "\n".join(f"    - ipBlock: {{cidr: 10.{n >> 8 & 255}.{n & 255}.0/24}}" for n in range(20_000))
    large.write_text(
        "apiVersion: crd.antrea.io/v1beta1\nkind: ClusterNetworkPolicy\nmetadata: {name: large}\n"
        "spec:\n  priority: 5\n  appliedTo: [{nodeSelector: {}}]\n  ingress:\n  - action: Allow\n    from:\n"
        f"{blocks}\n"
    )
    code, out, err = run("log", "append", "--log", path, "-f", str(large))
    assert (code, out, len(err)) == (2, "", 1)
    assert "ClusterNetworkPolicy/large takes " in err[0]
    assert run("log", "verify", "--log", path)[1] == "3 events, every one vouched for\n"


@pytest.mark.parametrize("kind", ["random", "zeros", "line"])
def test_a_hundred_megabytes_of_garbage_are_no_log(run: Run, tmp_path: Path, kind: str) -> None:
    """Neither one to read, nor to append to, nor to import, nor manifests; each is one line, and nothing is made of it."""
    garbage = tmp_path / "garbage"
    chunk = {"random": os.urandom(1 << 20), "zeros": bytes(1 << 20), "line": b'{"a":[' * ((1 << 20) // 6)}[kind]
    with garbage.open("wb") as file:
        for _ in range(100):
            file.write(chunk)
    good = str(tmp_path / "log")
    assert run("log", "append", "--log", good, "-f", NODES)[0] == 0
    for words in (
        ("log", "verify", "--log", str(garbage)),
        ("log", "append", "--log", str(garbage), "-f", NODES),
        ("log", "import", "--log", good, str(garbage)),
        ("blame", "--log", str(garbage), "--node", "n", "--packet", "in=e src=10.0.0.1 dst=10.0.0.2 proto=udp"),
        ("log", "append", "--log", good, "-f", str(garbage)),
        ("log", "verify", "--log", good, "--public-key", str(garbage)),
        ("log", "checkpoint", "--log", good, "--key", str(garbage)),
    ):
        code, out, err = run(*words)
        assert (code, out, len(err)) == (2, "", 1), words
        assert len(err[0]) < 400
    with pytest.raises(LogUnusable, match="not an event log"):
        wiring.event_log(str(garbage)).verify()
    assert garbage.stat().st_size == 100 * len(chunk)
    assert run("log", "verify", "--log", good)[1] == "3 events, every one vouched for\n"


def test_a_body_of_the_future_is_told_as_such(run: Run, tmp_path: Path) -> None:
    """It is no tampering: the chain holds, and a newer nodewall can read it."""
    path = str(tmp_path / "log")
    assert run("log", "append", "--log", path, "-f", NODES)[0] == 0
    log = wiring.event_log(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER no_update")
        connection.execute(
            "UPDATE events SET body = replace(body, '\"version\":1', '\"version\":2') WHERE sequence = 2"
        )
    resealed(log)
    assert log.verify() == 3
    code, out, err = run("log", "show", "--log", path)
    assert (code, out, err) == (
        2,
        "",
        [f"error: {path}: event 2 is node.observed of version 2, this nodewall knows 1; use a newer nodewall"],
    )


def test_a_log_that_is_being_made_is_not_there_yet(tmp_path: Path) -> None:
    """Whoever waits for it finds it once its first events are on disk, and is never told that it is none."""
    path = str(tmp_path / "log")
    command = [sys.executable, "-m", "adapters.cli", "log", "append", "--log", path, "-f", NODES]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as writer:
        log = wiring.event_log(path)
        while not log.exists:
            assert writer.poll() in {None, 0}
        assert log.last_sequence() == 3
    with LogFile(path).writing() as connection:
        connection.execute("UPDATE sqlite_sequence SET seq = seq")
        assert wiring.event_log(path).exists
