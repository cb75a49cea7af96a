"""A compacted log is the same log, as far back as it goes; and signatures tell what hashes alone cannot."""

import io
import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import wiring
from adapters.application.past.steps import HistoryWalk
from adapters.cli.history.moments import moments
from adapters.eventlog.compaction import compacted
from adapters.eventlog.jsonl import branched, exported, imported
from adapters.eventlog.relevant import abridged
from adapters.eventlog.snapshots import Snapshots
from adapters.eventlog.sqlite import SqliteLog
from adapters.system.clock import FixedClock, SystemIds
from engine.errors import EventsCompacted, LogCorrupt, Refused
from engine.events import EventBody, StoredEvent
from engine.events.outcomes import LogCompacted
from engine.reconcile.log_interfaces import LogReplica
from engine.state.fold import fold_bodies
from simulator.analysis.blame import blame_history, packet_scope
from tests.support.cli.command_line import Run
from tests.support.policies.issue_5671 import CHANGED, NODES, POLICY
from tests.support.policies.random_clusters import NODE
from tests.support.policies.random_histories import history_of, packets_about, worlds_of
from tests.support.seeds import examples


def log_of(folder: str, bodies: list[EventBody], name: str = "log") -> SqliteLog:
    """A log with these events, one a second."""
    log = SqliteLog(f"{folder}/{name}", FixedClock(), SystemIds())
    log.append(bodies, source="test", expected=0)
    return log


@examples(10)
@given(st.integers(0, 10**9), st.data())
def test_what_is_left_is_as_it_was(seed: int, data: st.DataObject) -> None:
    """Every later state, every later hash, what events changed, and whom packets are blamed on; twice in a row too."""
    worlds = worlds_of(str(seed), 3)
    history, packets = history_of(worlds, str(seed)), packets_about(worlds, 1)
    until = sorted(data.draw(st.lists(st.integers(1, len(history)), min_size=1, max_size=2)))
    with TemporaryDirectory() as folder:
        log = log_of(folder, history)
        Snapshots(log, interval=11).reached()
        rows = list(log.rows())
        told = [moment.as_json() for moment in moments(HistoryWalk(log, NODE, until[-1] + 1).steps(), lambda _: [])]
        concerns = [packet_scope(each, NODE) for each in packets]
        before = blame_history(((row.sequence, body) for row, body in abridged(log, concerns).events), NODE, packets)
        for each in until:
            compacted(log, each, None, "test")

        added = len(set(until))
        assert list(log.rows())[:-added] == rows[until[-1] :]
        assert log.verify() == len(history) - until[-1] + added
        for sequence in range(until[-1], len(history) + 1):
            assert Snapshots(log).reached(sequence)[0] == fold_bodies(history[:sequence])
        again = [moment.as_json() for moment in moments(HistoryWalk(log, NODE).steps(), lambda _: [])]
        assert again[:-added] == told
        found = abridged(log, concerns)
        after = blame_history(((row.sequence, body) for row, body in found.events), NODE, packets, found.start)
        for then, now in zip(before, after, strict=True):
            assert now.answer.verdict is then.answer.verdict
            assert now.last == (then.last if then.last and then.last.sequence > until[-1] else None)


@examples(8)
@given(st.integers(0, 10**9), st.data())
def test_it_goes_over_to_other_logs_as_it_is(seed: int, data: st.DataObject) -> None:
    """By export and import, whole and in parts, and by branches; what the other has already may be more or less."""
    history = history_of(worlds_of(str(seed), 2), str(seed))
    until = data.draw(st.integers(1, len(history)))
    with TemporaryDirectory() as folder:
        log, older = log_of(folder, history), SqliteLog(f"{folder}/older", FixedClock(), SystemIds())
        branched(log, older, data.draw(st.integers(until, len(history))))
        compacted(log, until, None, "test")
        lines = list(exported(log))
        other = SqliteLog(f"{folder}/other", FixedClock(), SystemIds())
        cut = data.draw(st.integers(0, len(lines)))
        for part in (lines[:cut] if cut > 1 else [], lines, lines):
            try:
                imported(other, io.BytesIO(b"".join(part)), "dump")
            except LogCorrupt as error:  # the event that vouches for the beginning is not there yet
                assert part != lines, error  # noqa: PT017 - what is asserted is when it may be raised
        assert list(exported(other)) == lines
        imported(older, io.BytesIO(b"".join(lines)), "dump")
        assert [row.line() for row in older.rows(until)] == lines[1:]
        assert imported(log, io.BytesIO(b"".join(exported(older))), "dump").new == 0
        branch = SqliteLog(f"{folder}/branch", FixedClock(), SystemIds())
        branched(log, branch)
        assert list(exported(branch)) == lines


def test_what_is_gone_is_said_to_be(tmp_path: Path) -> None:
    """States, blames and branches of before; the time of the last event that is gone still tells its state."""
    history = history_of(worlds_of("7", 1), "7")
    log = log_of(str(tmp_path), history)
    time = next(iter(log.read(4))).time
    compacted(log, 5, None, "test")

    for ask in (
        lambda: Snapshots(log).reached(4),
        lambda: abridged(log, [], 4),
        lambda: branched(log, SqliteLog(str(tmp_path / "b"), FixedClock(), SystemIds()), 4),
    ):
        with pytest.raises(EventsCompacted, match="what was before event 5 was compacted; ask for 5 or later"):
            ask()
    assert log.sequence_at(time) == 5
    assert log.last_sequence() == len(history) + 1
    assert [event.sequence for event in log.read(0, 6)] == [6]


def test_a_forged_beginning_is_seen(tmp_path: Path) -> None:
    """The state, the hash and the sequence that a log begins with are on record; one that is taken away is missed."""
    log = log_of(str(tmp_path), history_of(worlds_of("7", 1), "7"))
    compacted(log, 5, None, "test")
    whole = Path(log.path).read_bytes()
    for statement in (
        "UPDATE summary SET state = replace(state, 'node-1', 'node-9')",
        "UPDATE summary SET hash = substr(hash, 2) || 'x'",
        "UPDATE summary SET sequence = 4",
        "DELETE FROM summary",
    ):
        Path(log.path).write_bytes(whole)
        with closing(sqlite3.connect(log.path, isolation_level=None)) as connection:
            connection.execute(statement)
        with pytest.raises(LogCorrupt):
            log.verify()


def test_nothing_is_compacted_that_cannot_be_trusted(tmp_path: Path) -> None:
    """A log that was tampered with stays as it is, to be looked into."""
    log = log_of(str(tmp_path), history_of(worlds_of("7", 1), "7"))
    with closing(sqlite3.connect(log.path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER no_update")
        connection.execute("UPDATE events SET source = 'me' WHERE sequence = 2")
    before = Path(log.path).read_bytes()
    with pytest.raises(LogCorrupt, match="event 2"):
        compacted(log, 5, None, "test")
    assert Path(log.path).read_bytes() == before


@pytest.fixture
def signed(run: Run, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Run ``nodewall log …`` on a log with two checkpoints and five events, and give its exit code and its last line."""
    log, key = str(tmp_path / "events.db"), str(tmp_path / "key")

    def call(*words: str) -> tuple[int, str]:
        code, out, err = run("log", *words, *(("--log", log) if words[0] != "keygen" else ()))
        return code, (err or out.splitlines() or [""])[-1]

    assert call("keygen", "--key", key)[0] == 0
    for files in (("-f", NODES, "-f", POLICY), ("-f", CHANGED)):
        assert call("append", *files)[0] == 0
        assert call("checkpoint", "--key", key)[0] == 0
    return call


def verified(signed: Callable[..., tuple[int, str]], folder: Path) -> tuple[int, str]:
    """What ``log verify`` says with the key."""
    return signed("verify", "--public-key", str(folder / "key.pub"))


def rewritten(log: LogReplica, until: int, change: Callable[[StoredEvent], StoredEvent] = lambda row: row) -> None:
    """Write the log anew, with every hash as it has to be, as somebody can who has the file."""
    rows = list(log.rows(until=until))
    log.discard()
    previous = b"0" * 64
    for number, row in enumerate(map(change, rows)):
        new = row._replace(previous=previous)
        previous = new.digest()
        log.adopt([new._replace(hash=previous)], expected=number)


def test_what_was_signed_cannot_be_rewritten(signed: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """The chain is sound, and yet it is not the one of the first checkpoint that it differs from."""
    assert verified(signed, tmp_path) == (0, "5 events, every one vouched for; 2 checkpoints up to event 5")
    log = wiring.event_log(str(tmp_path / "events.db"))
    rewritten(log, 5, lambda row: row._replace(source=b"me") if row.sequence == 2 else row)

    assert log.verify() == 5
    code, said = verified(signed, tmp_path)
    assert (code, "event 4 cannot be trusted: it is not the one of the checkpoint in " in said) == (1, True)


def test_what_was_signed_cannot_be_cut_off(signed: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """A log that ends before its newest checkpoint has lost events."""
    log = wiring.event_log(str(tmp_path / "events.db"))
    rewritten(log, 4)

    assert log.verify() == 4
    code, said = verified(signed, tmp_path)
    assert (code, "event 5 cannot be trusted: the event is missing, by the checkpoint" in said) == (1, True)


@pytest.mark.parametrize("field", ["sequence", "hash", "time", "key", "signature"])
def test_a_forged_checkpoint_is_seen(signed: Callable[..., tuple[int, str]], tmp_path: Path, field: str) -> None:
    """Whichever field of it was changed."""
    path = tmp_path / "events.db-checkpoints"
    first, second = map(json.loads, path.read_bytes().splitlines())
    first[field] = 3 if field == "sequence" else second[field] if field != "key" else "0" * 16
    path.write_text("\n".join(map(json.dumps, (first, second))))
    code, said = verified(signed, tmp_path)
    assert (code, "cannot be trusted: of the checkpoint in" in said) == (1, True)


def test_a_compaction_is_signed_and_has_to_be(signed: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """Checkpoints of before are judged by their signatures; one that is not signed is not trusted with a key."""
    assert signed("compact", "--before", "3", "--key", str(tmp_path / "key"))[1] == (
        "compacted 3 events; the log begins behind event 3"
    )
    assert verified(signed, tmp_path) == (0, "3 events, every one vouched for; 2 checkpoints up to event 5")
    assert signed("compact", "--before", "3", "--unsigned")[1] == "compacted 0 events; the log begins behind event 3"
    assert signed("compact", "--before", "4", "--unsigned")[0] == 0
    code, said = verified(signed, tmp_path)
    assert (
        code,
        said.endswith("event 4 cannot be trusted: of what stands for the compacted events it is not signed"),
    ) == (
        1,
        True,
    )


def test_another_key_is_not_trusted(signed: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """Whoever signs has to have the key of whoever checks."""
    assert signed("keygen", "--key", str(tmp_path / "other"))[0] == 0
    code, said = signed("verify", "--public-key", str(tmp_path / "other.pub"))
    assert (code, "it is signed by another key" in said) == (1, True)


def test_keys_of_openssl_will_do(signed: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """They are in the same form, both ways."""
    key, public = tmp_path / "theirs", tmp_path / "theirs.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    key.chmod(0o600)
    elsewhere = str(tmp_path / "elsewhere")
    assert signed("checkpoint", "--key", str(key), "--checkpoints", elsewhere)[0] == 0
    assert signed("verify", "--public-key", str(public), "--checkpoints", elsewhere)[0] == 0
    subprocess.run(["openssl", "pkey", "-in", tmp_path / "key", "-noout"], check=True)


def test_keys_that_are_none_are_refused(signed: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """Missing, of another kind, no key at all, the wrong half, and one that others can read; nothing is overwritten."""
    junk, rsa = tmp_path / "junk", tmp_path / "rsa"
    junk.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed448", "-out", rsa], check=True)
    for path in (junk, rsa):
        path.chmod(0o600)
    for key in (tmp_path / "none", junk, rsa, tmp_path / "key.pub"):
        assert signed("checkpoint", "--key", str(key))[0] == 2
        assert signed("verify", "--public-key", str(key) if key.name != "key.pub" else str(tmp_path / "key"))[0] == 2
    (tmp_path / "key").chmod(0o644)
    code, said = signed("checkpoint", "--key", str(tmp_path / "key"))
    assert (code, "others can read or write the private key; expected chmod 600" in said) == (2, True)
    assert signed("keygen", "--key", str(tmp_path / "key"))[0] == 2


@pytest.mark.parametrize(
    "words",
    [
        ("compact", "--before", "3"),
        ("compact", "--before", "3", "--unsigned", "--key", "x"),
        ("compact", "--before", "soon", "--unsigned"),
        ("verify", "--checkpoints", "x"),
        ("checkpoint", "--key", "x"),
    ],
)
def test_faults_are_exit_2(signed: Callable[..., tuple[int, str]], words: tuple[str, ...]) -> None:
    """Options that contradict each other, moments and files that are none."""
    assert signed(*words)[0] == 2


def test_lines_that_are_no_beginning_are_refused(tmp_path: Path) -> None:
    """Whatever is wrong with them, by line; and a beginning that another log does not have."""
    log = log_of(str(tmp_path), history_of(worlds_of("7", 1), "7"))
    compacted(log, 5, None, "test")
    line, *rest = exported(log)
    told = json.loads(line)
    for bad in (
        {"begins": {**told["begins"], "sequence": 0}},
        {"begins": {**told["begins"], "state": [{"type": "x"}]}},
        {"begins": {"sequence": 5}},
        {"begins": 7},
    ):
        other = SqliteLog(str(tmp_path / "other"), FixedClock(), SystemIds())
        text = json.dumps(bad, sort_keys=True, separators=(",", ":")).encode()
        with pytest.raises(Refused, match="dump:1"):
            imported(other, io.BytesIO(text + b"\n" + b"".join(rest)), "dump")
        assert not other.exists
    third = log_of(str(tmp_path), history_of(worlds_of("8", 1), "8"), "third")
    with pytest.raises(Refused, match="another event 5 than"):
        imported(third, io.BytesIO(line + b"".join(rest)), "dump")
    body = next(event.body for event in log.read() if isinstance(event.body, LogCompacted))
    assert (body.until, body.events, body.key) == (5, 5, None)
