"""Attacks on the files of a log by somebody who can write them: no reader uses a changed state or crashes."""

import io
import json
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from adapters.cli import main
from adapters.eventlog.checkpoints import kept
from adapters.eventlog.jsonl import branched, exported, imported
from adapters.eventlog.snapshots import Snapshots, lines_of
from adapters.eventlog.sqlite import SqliteLog
from adapters.system.clock import FixedClock, SystemIds
from engine.errors import LogCorrupt, Refused
from engine.events import NodeDeleted, canonical
from engine.state.fold import ClusterState
from tests.support.eventlog.signed_logs import UNTIL, SignedLog

VIEW = """
ALTER TABLE events RENAME TO genuine;
CREATE VIEW events AS SELECT * FROM genuine;
"""
TRIGGER = """
CREATE TRIGGER swallow AFTER INSERT ON events WHEN NEW.type = 'policy.declared'
BEGIN DELETE FROM events WHERE sequence = NEW.sequence; END;
"""
COVER = "CREATE INDEX cover ON events (sequence, hash);"
TABLE = "CREATE TABLE other (sequence INTEGER);"
OUT_OF_RANGE = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]


@pytest.fixture
def site(tmp_path: Path) -> SignedLog:
    """A log that is signed and not compacted."""
    return SignedLog.of(tmp_path)


def write(log: SqliteLog, script: str) -> None:
    """Run statements on the file of a log."""
    with closing(sqlite3.connect(log.path)) as connection:
        connection.executescript(script)


@pytest.mark.parametrize("script", [VIEW, TRIGGER, COVER, TABLE], ids=["view", "trigger", "index", "table"])
def test_foreign_schema_is_refused(site: SignedLog, script: str) -> None:
    """Views and indexes can answer two queries differently; triggers can swallow events."""
    write(site.log, script)
    uses: list[Callable[[], object]] = [
        site.verified,
        site.log.verify,
        lambda: list(exported(site.log)),
        lambda: Snapshots(site.log).reached(),
        lambda: site.log.append([NodeDeleted(name="n")], source="me", expected=site.log.last_sequence()),
    ]
    for use in uses:
        with pytest.raises(LogCorrupt, match="not part of an event log"):
            use()


def test_changed_base_is_never_used(site: SignedLog) -> None:
    """Without a compaction event that records it, no command takes the state that a compacted log begins with."""
    site.compact()
    state = site.log.base().state.decode().splitlines(keepends=True)
    site.summary("state", "".join(state[:-1]))
    other = SqliteLog(str(site.folder / "other"), FixedClock(), SystemIds())
    for use in (lambda: Snapshots(site.log).reached(), lambda: branched(site.log, other)):
        with pytest.raises(LogCorrupt, match="not on record"):
            use()
    assert not other.exists


@pytest.mark.parametrize("value", ["'abc'", "x'00'", "9e999"])
def test_damaged_counter_is_corrupt(site: SignedLog, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The highest sequence in SQLite's own table is not a number."""
    write(site.log, f"UPDATE sqlite_sequence SET seq = {value};")  # noqa: S608 - a constant of this test
    assert main(["log", "verify", "--log", site.log.path]) == 1
    assert "in place of a number" in capsys.readouterr().err


@pytest.mark.parametrize("state", ["x", "{}", '{"type":"node.deleted"}'])
def test_unreadable_base_is_corrupt(site: SignedLog, state: str) -> None:
    """A state that holds no events is not read, whether or not it is on record."""
    site.compact()
    site.summary("state", state)
    site.append(site.forged())
    with pytest.raises(LogCorrupt, match="cannot be read"):
        Snapshots(site.log).reached()


@pytest.mark.parametrize(
    "name, head",
    [
        ("000000000030.z", b'{"digest":"x","hash":5}'),
        ("000000000030.z", b'{"digest":"x","hash":[1]}'),
        (f"{'9' * 200}.z", b"{}"),
        ("x.z", b"{}"),
    ],
)
def test_damaged_snapshot_is_ignored(site: SignedLog, name: str, head: bytes) -> None:
    """The state is computed from events instead."""
    wanted = Snapshots(site.log).reached()
    folder = Path(site.log.snapshots.name)
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(zlib.compress(head + b"\n"))
    assert Snapshots(site.log).reached() == wanted
    assert site.log.verify() > UNTIL


def test_forged_snapshot_fails_verification(site: SignedLog, capsys: pytest.CaptureFixture[str]) -> None:
    """A snapshot with the hash of its event and another state fails without a public key too."""
    rest = lines_of(ClusterState())
    head = canonical({"digest": sha256(rest).hexdigest(), "hash": site.log.hash_at(UNTIL).decode()})
    site.log.snapshots.save(UNTIL, zlib.compress(head + b"\n" + rest))
    assert main(["log", "verify", "--log", site.log.path]) == 1
    assert "leads to another state" in capsys.readouterr().err


@pytest.mark.parametrize("time", OUT_OF_RANGE)
def test_time_outside_utc_is_refused(site: SignedLog, tmp_path: Path, time: str) -> None:
    """In a checkpoint, in an event of an import, and in an option."""
    first, *rest = site.checkpoints.read_bytes().splitlines(keepends=True)
    site.checkpoints.write_bytes(b"".join([canonical({**json.loads(first), "time": time}), b"\n", *rest]))
    with pytest.raises(Refused):
        list(kept(str(site.checkpoints)))

    (row, *_) = site.log.rows()
    forged = row._replace(time=time.encode())
    line = forged._replace(hash=forged.digest()).line()
    with pytest.raises(Refused, match="9999"):
        imported(SqliteLog(str(tmp_path / "new"), FixedClock(), SystemIds()), io.BytesIO(line), "dump")
    assert main(["compile", "--log", site.log.path, "--node", "n1", "--at", time]) == 2


@pytest.mark.parametrize("sequence", [1 << 63, 10**400, 0])
def test_sequence_out_of_range_is_refused(tmp_path: Path, sequence: int) -> None:
    """SQLite stores 64 bits."""
    log = SqliteLog(str(tmp_path / "new"), FixedClock(), SystemIds())
    begins = b'{"begins":{"hash":"h","sequence":%d,"state":[],"time":"t"}}\n' % sequence
    with pytest.raises(Refused):
        imported(log, io.BytesIO(begins), "dump")
    assert not log.exists


@pytest.mark.parametrize("moment", ["9" * 5000, "9" * 19])
def test_sequence_too_long_is_refused(site: SignedLog, moment: str) -> None:
    """Python converts no more than 4,300 digits."""
    assert main(["compile", "--log", site.log.path, "--node", "n1", "--at", moment]) == 2
