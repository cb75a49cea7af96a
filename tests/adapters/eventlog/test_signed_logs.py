"""Attacks on a signed log by somebody who can write its files, but has not the key: every one fails verification."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.cli import main
from adapters.eventlog.compaction import SignatureCheck, compacted
from adapters.eventlog.jsonl import branched, exported, imported
from adapters.eventlog.signing import statement_of
from adapters.eventlog.snapshots import Snapshots, lines_of
from adapters.eventlog.sqlite import SqliteLog
from adapters.system.clock import FixedClock, SystemIds
from engine.errors import LogCorrupt, NodewallError
from engine.events import EventMark, canonical
from engine.events.outcomes import LogCompacted
from engine.state.fold import fold_bodies
from tests.support.eventlog.signed_logs import UNTIL, SignedLog
from tests.support.policies.random_histories import history_of, worlds_of


@pytest.fixture
def site(tmp_path: Path) -> SignedLog:
    """A log that is signed and not compacted."""
    return SignedLog.of(tmp_path)


@pytest.fixture(params=[SignedLog.compact, SignedLog.compact_as_before], ids=["now", "before"])
def short(site: SignedLog, request: pytest.FixtureRequest) -> SignedLog:
    """A log that is signed and compacted, as now or as before."""
    request.param(site)
    return site


def without_policies(state: bytes) -> str:
    """A state that has lost its policies."""
    lines = state.decode().splitlines(keepends=True)
    assert any('"policy.declared"' in line for line in lines)
    return "".join(line for line in lines if '"policy.declared"' not in line)


def state_changed(site: SignedLog) -> None:
    """The attack of the issue: the state changed, an unsigned record of it, a copy of the signed one behind it."""
    genuine = site.record()
    site.summary("state", without_policies(site.log.base().state))
    site.append(site.forged())
    site.append(genuine)


def state_changed_before_copy(site: SignedLog) -> None:
    """The same in the other order."""
    genuine = site.record()
    site.summary("state", without_policies(site.log.base().state))
    site.append(genuine)
    site.append(site.forged())


def signature_moved(site: SignedLog) -> None:
    """The signature of the genuine record on one with another state."""
    genuine = site.record()
    site.summary("state", without_policies(site.log.base().state))
    digest = site.log.base().digest
    site.append(genuine.model_copy(update={"state": digest}))
    site.append(site.forged().model_copy(update={"key": genuine.key, "signature": genuine.signature}))


def record_of_another_log(site: SignedLog) -> None:
    """A record that the same key signed, of another log, with that log's beginning."""
    with TemporaryDirectory() as folder:
        other = SqliteLog(f"{folder}/log", FixedClock(), SystemIds())
        other.append(history_of(worlds_of("8", 3), "8"), source="test", expected=0)
        compacted(other, UNTIL, site.signer, "test")
        base = other.base()
        body = next(event.body for event in other.read() if isinstance(event.body, LogCompacted))
    site.summary("state", base.state.decode())
    site.append(body)
    site.append(site.forged())


STATE_ATTACKS = [state_changed, state_changed_before_copy, signature_moved, record_of_another_log]


@pytest.mark.parametrize("attack", STATE_ATTACKS)
def test_forged_state_fails_verification(short: SignedLog, attack: Callable[[SignedLog], None]) -> None:
    """One record has to say what the log begins with, and be signed itself."""
    short.verified()
    attack(short)
    short.log.verify()  # which knows no key
    with pytest.raises(LogCorrupt, match=f"event {UNTIL} cannot be trusted: of what stands for the compacted events"):
        short.verified()


def time_changed(site: SignedLog) -> None:
    """The time changed, nothing else."""
    site.summary("time", "2001-01-01T00:00:00.000000Z")


def time_changed_with_record(site: SignedLog) -> None:
    """The time changed, an unsigned record with and without it, and a copy of the signed one."""
    genuine = site.record()
    site.summary("time", "2001-01-01T00:00:00.000000Z")
    site.append(site.forged())
    site.append(site.forged().model_copy(update={"time": site.log.base().time}))
    site.append(genuine)


def time_left_out(site: SignedLog) -> None:
    """The time changed, and the signed record without what it says of it."""
    genuine = site.record()
    site.summary("time", "2001-01-01T00:00:00.000000Z")
    site.append(genuine.model_copy(update={"time": None, "after": None}))


@pytest.mark.parametrize("attack", [time_changed, time_changed_with_record, time_left_out])
def test_forged_time_fails_verification(site: SignedLog, attack: Callable[[SignedLog], None]) -> None:
    """The time of the last compacted event is signed too."""
    site.compact()
    site.verified()
    attack(site)
    with pytest.raises(LogCorrupt, match=f"event {UNTIL} cannot be trusted"):
        site.verified()


def test_time_is_on_record_without_key(site: SignedLog) -> None:
    """``log verify`` without a key sees it as well, where no forged record was appended."""
    site.compact()
    time_changed(site)
    with pytest.raises(LogCorrupt, match="what stands for the compacted events is not on record"):
        site.log.verify()


def test_copied_record_counts_for_nothing(site: SignedLog) -> None:
    """A genuine signed body at another sequence of a log written anew does not stand where it says."""
    site.compact()
    number, record = next((e.sequence, e.body) for e in site.log.read() if isinstance(e.body, LogCompacted))
    assert isinstance(record, LogCompacted)
    site.rewrite(until=number - 2)  # which cuts the record off, and the event before it
    site.append(record)
    with pytest.raises(LogCorrupt):
        site.verified()


def test_rewritten_events_before_record_fail(site: SignedLog) -> None:
    """The record signs the event that it follows, so also no checkpoint has to reach behind the compacted events."""
    site.compact()
    lines = site.checkpoints.read_bytes().splitlines(keepends=True)
    site.checkpoints.write_bytes(lines[0])
    assert site.verified().until == site.log.last_sequence() - 1
    site.rewrite(lambda row: row._replace(source=b"me") if row.sequence == UNTIL + 2 else row)
    with pytest.raises(LogCorrupt, match="what stands for the compacted events is not on record"):
        site.verified()


@pytest.mark.parametrize(
    "compact", [SignedLog.compact, SignedLog.compact_as_before, lambda _: None], ids=["now", "before", "no"]
)
def test_rewritten_log_fails_verification(site: SignedLog, compact: Callable[[SignedLog], None]) -> None:
    """A new chain of other events has none of the hashes that were signed."""
    compact(site)
    site.sign()
    site.verified()
    site.rewrite(lambda row: row._replace(source=b"me"))
    with pytest.raises(LogCorrupt):
        site.verified()


@pytest.mark.parametrize(
    "compact", [SignedLog.compact, SignedLog.compact_as_before, lambda _: None], ids=["now", "before", "no"]
)
def test_emptied_checkpoints_fail_verification(site: SignedLog, compact: Callable[[SignedLog], None]) -> None:
    """A key without one checkpoint proves nothing, and says so."""
    compact(site)
    site.checkpoints.write_bytes(b"")
    with pytest.raises(LogCorrupt, match=r"cannot be trusted: no checkpoint in .* vouches for it"):
        site.verified()
    site.checkpoints.unlink()
    with pytest.raises(NodewallError, match="expected a file of checkpoints"):
        site.verified()


def test_checkpoint_of_empty_log_is_not_enough(site: SignedLog) -> None:
    """It is genuine, but vouches for no event."""
    mark = EventMark(0, "0" * 64)
    site.checkpoints.write_bytes(site.signer.checkpoint(mark, FixedClock().now()).line())
    with pytest.raises(LogCorrupt, match="vouches for it"):
        site.verified()


def test_fewer_checkpoints_vouch_for_less(short: SignedLog) -> None:
    """Where the newest was removed the answer says how far signatures reach; a rewritten log before that fails."""
    lines = short.checkpoints.read_bytes().splitlines(keepends=True)
    last = short.log.last_sequence()
    short.checkpoints.write_bytes(lines[0])
    assert (short.verified().checkpoints, UNTIL <= short.verified().until < last) == (1, True)


def test_shortened_log_fails_newest_checkpoint(short: SignedLog) -> None:
    """Events that were cut off are missed by a copy of the checkpoints that was kept elsewhere."""
    short.sign()
    copy = short.checkpoints.read_bytes()
    short.checkpoints.write_bytes(copy.splitlines(keepends=True)[0])
    short.rewrite(until=short.log.last_sequence() - 1)
    short.checkpoints.write_bytes(copy)
    with pytest.raises(LogCorrupt):
        short.verified()


def test_older_compacted_log_stays_verified(site: SignedLog) -> None:
    """Its record has the fields that it had; what was signed of it is byte for byte the same."""
    site.compact_as_before()
    body = site.record()
    assert (body.time, body.after) == (None, None)
    assert statement_of(body) == b"nodewall compaction\n" + canonical(
        {
            "events": UNTIL,
            "key": body.key,
            "last": body.last,
            "state": body.state,
            "type": "log.compacted",
            "until": UNTIL,
            "version": 1,
        }
    )
    last = site.log.last_sequence()
    assert site.verified() == SignatureCheck(2, last - 1)
    assert compacted(site.log, UNTIL, site.signer, "test").events == 0


@pytest.mark.parametrize("way", ["import", "branch"])
def test_signatures_go_over_to_other_logs(short: SignedLog, way: str) -> None:
    """Export and import, and branches, carry all that was signed."""
    other = SignedLog(short.folder, SqliteLog(str(short.folder / way), FixedClock(), SystemIds()))
    if way == "import":
        imported(other.log, io.BytesIO(b"".join(exported(short.log))), "dump")
    else:
        branched(short.log, other.log)
    other.checkpoints.write_bytes(short.checkpoints.read_bytes())
    assert other.verified() == short.verified()
    assert other.log.base() == short.log.base()


@pytest.mark.parametrize("attack", STATE_ATTACKS)
def test_forged_export_fails_verification(short: SignedLog, attack: Callable[[SignedLog], None]) -> None:
    """A forged beginning is none the better for a way through an export."""
    attack(short)
    other = SignedLog(short.folder, SqliteLog(str(short.folder / "other"), FixedClock(), SystemIds()))
    imported(other.log, io.BytesIO(b"".join(exported(short.log))), "dump")
    other.checkpoints.write_bytes(short.checkpoints.read_bytes())
    with pytest.raises(LogCorrupt, match=f"event {UNTIL} cannot be trusted"):
        other.verified()


@pytest.mark.parametrize("key", ["time", "state"])
def test_forged_line_of_export_is_refused(site: SignedLog, key: str) -> None:
    """The line that a compacted log begins with, changed on the way."""
    site.compact()
    line, *rest = exported(site.log)
    told = json.loads(line)
    told["begins"][key] = told["begins"]["state"][:-1] if key == "state" else "2001-01-01T00:00:00.000000Z"
    other = SqliteLog(str(site.folder / "other"), FixedClock(), SystemIds())
    with pytest.raises(LogCorrupt, match="is not on record"):
        imported(other, io.BytesIO(canonical(told) + b"\n" + b"".join(rest)), "dump")


def plant(log: SqliteLog, sequence: int, digest: str) -> Snapshots:
    """Keep an empty state beside a log as the one after an event."""
    snapshots = Snapshots(log, interval=10**6)
    snapshots._keep(replace(fold_bodies([]), sequence=sequence), EventMark(sequence, digest))
    return snapshots


@pytest.mark.parametrize("at", [UNTIL, UNTIL + 1], ids=["at the beginning", "behind it"])
def test_forged_kept_state_fails_verification(short: SignedLog, at: int) -> None:
    """A state beside the log that its events do not lead to would be used by every command."""
    snapshots = plant(short.log, at, short.log.hash_at(at).decode())
    assert not snapshots.reached(at)[0].nodes
    with pytest.raises(LogCorrupt, match=f"event {at} cannot be trusted: it leads to another state than"):
        short.verified()


def test_genuine_kept_states_pass_verification(short: SignedLog) -> None:
    """Those that nodewall writes are what their events lead to."""
    Snapshots(short.log, interval=2).reached()
    assert any(short.log.snapshots.folder.iterdir())
    short.verified()


def test_kept_state_of_no_event_is_ignored(site: SignedLog) -> None:
    """One without a hash fits no event, the first state and compacted ones included."""
    for sequence in (0, UNTIL - 1, 10**6):
        snapshots = plant(site.log, sequence, "")
        assert snapshots.reached()[0].nodes
    site.compact()
    plant(site.log, UNTIL - 1, "")
    assert Snapshots(site.log).reached(UNTIL)[0].nodes


def test_compaction_ignores_kept_states(site: SignedLog) -> None:
    """What is signed comes from events alone, not from a file that somebody may have changed."""
    plant(site.log, UNTIL, site.log.hash_at(UNTIL).decode())
    site.compact()
    assert site.log.base().state == lines_of(fold_bodies(history_of(worlds_of("7", 3), "7")[:UNTIL]))


@settings(max_examples=20)
@given(st.integers(0, 3), st.sampled_from(["time", "state"]), st.data())
def test_no_changed_byte_passes(seed: int, column: str, data: st.DataObject) -> None:
    """Whatever byte of the beginning is changed, with any forged records behind it."""
    with TemporaryDirectory() as folder:
        site = SignedLog.of(Path(folder), str(seed))
        site.compact()
        genuine, base = site.record(), site.log.base()
        text = base.time if column == "time" else base.state.decode()
        at = data.draw(st.integers(0, len(text) - 1))
        letter = data.draw(st.sampled_from("0123456789ab").filter(lambda each: each != text[at]))
        site.summary(column, text[:at] + letter + text[at + 1 :])
        forged = site.forged()
        records = [forged, genuine, forged.model_copy(update={"key": genuine.key, "signature": genuine.signature})]
        for body in data.draw(st.lists(st.sampled_from(records), max_size=3)):
            site.append(body)
        with pytest.raises(LogCorrupt):
            site.verified()


def test_command_says_that_nothing_is_signed(site: SignedLog, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, in JSON too."""
    site.checkpoints.write_bytes(b"")
    words = ["log", "verify", "--log", site.log.path, "--public-key", str(site.folder / "key.pub"), "-o", "json"]
    assert main(words) == 1
    assert json.loads(capsys.readouterr().out)["verified"] is False
