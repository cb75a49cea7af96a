"""Exports tell a history byte by byte, and imports take nothing else."""

import io
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.cli import main
from adapters.eventlog.compaction import compacted
from adapters.eventlog.jsonl import exported, imported
from adapters.eventlog.sqlite import SqliteLog
from adapters.system.clock import CountedIds, FixedClock, SystemIds
from engine.errors import LogCorrupt, Refused
from engine.events import EventBody, StoredEvent, canonical, declaration_of, deletion_of
from engine.objects import ClusterObject, key_of
from tests.support.policies.object_strategies import clusters

Lines = list[bytes]
TEXTS = ("time", "id", "source", "type", "previous", "hash")
BODY = st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.text(), max_size=2), max_size=3)


def log_at(path: Path, *bodies: EventBody) -> SqliteLog:
    """A log with some events, one append each."""
    log = SqliteLog(str(path), FixedClock(), CountedIds())
    for number, body in enumerate(bodies):
        log.append([body], source='te"st\n\u2028é', expected=number)
    return log


@pytest.fixture
def bodies() -> list[EventBody]:
    """Some events."""
    return [deletion_of("Node", f"n{number}") for number in range(5)]


@pytest.fixture
def log(tmp_path: Path, bodies: list[EventBody]) -> SqliteLog:
    """A log of five events."""
    return log_at(tmp_path / "one", *bodies)


@pytest.fixture
def other(tmp_path: Path) -> SqliteLog:
    """Where another log is to be."""
    return SqliteLog(str(tmp_path / "other"), FixedClock(), SystemIds())


def brought(log: SqliteLog, lines: Lines) -> tuple[int, int]:
    """Import lines, and return how many events came and how many were known."""
    done = imported(log, io.BytesIO(b"".join(lines)), "dump")
    return done.new, done.known


@given(clusters())
def test_any_history_comes_over_with_all_its_hashes(objects: tuple[ClusterObject, ...]) -> None:
    """What is exported from the copy is the same bytes."""
    items: list[EventBody] = [declaration_of(item) for item in objects]
    items += [deletion_of(item.kind, key_of(item)) for item in objects]
    with TemporaryDirectory() as folder:
        log, other = log_at(Path(folder, "one"), *items), log_at(Path(folder, "other"))
        if items:
            lines = list(exported(log))
            assert brought(other, lines) == (len(items), 0)
            assert list(exported(other)) == lines
            assert list(other.read()) == list(log.read())


def test_an_import_that_was_cut_off_goes_on(log: SqliteLog, other: SqliteLog) -> None:
    """What is there already is compared and not appended again, and parts may follow each other."""
    lines = list(exported(log))
    assert brought(other, lines[:2]) == (2, 0)
    assert brought(other, lines[1:3]) == (1, 1)
    assert brought(other, lines) == (2, 3)
    assert brought(other, list(exported(log, 3))) == (0, 2)
    assert list(exported(other)) == lines


def test_a_part_is_exported_by_its_bounds(log: SqliteLog) -> None:
    """From one sequence to another, both with them."""
    assert [json.loads(line)["sequence"] for line in exported(log, 1, 4)] == [2, 3, 4]


def changed(**fields: object) -> Callable[[Lines], Lines]:
    """Have the third line say something else."""

    def change(lines: Lines) -> Lines:
        return [*lines[:2], json.dumps({**json.loads(lines[2]), **fields}).encode() + b"\n", *lines[3:]]

    return change


def sealed_anew(lines: Lines) -> Lines:
    """Have the third event be another one with a hash of its own, as a forger would."""
    row = StoredEvent.of_line(changed(source="me")(lines)[2])
    return [*lines[:2], changed(source="me", hash=row.digest().decode())(lines)[2], *lines[3:]]


@pytest.mark.parametrize(
    "change, number, words",
    [
        (changed(source="someone"), 3, "event 3: its content does not match its hash"),
        (changed(body={"type": "node.deleted", "version": 1, "name": "n9"}), 3, "its content does not match its hash"),
        (changed(hash="0" * 64), 3, "its content does not match its hash"),
        (changed(sequence=7), 3, "event 7; expected event 3"),
        (changed(more=1), 3, "not one of an event"),
        (changed(time=3), 3, "a field does not hold what it should"),
        (changed(sequence="3"), 3, "a field does not hold what it should"),
        (changed(body={"type": "node.exploded", "version": 1}), 3, "does not match any of the expected tags"),
        (sealed_anew, 4, "event 4: it does not follow the event before it"),
        (lambda lines: [*lines[:2], *lines[3:]], 3, "event 4; expected event 3"),
        (lambda lines: [lines[0], lines[2], lines[1]], 2, "event 3; expected event 2"),
        (lambda lines: [*lines[:2], lines[2][:90]], 3, "expected a line of an export"),
        (lambda lines: [*lines[:2], b"\x00\xff" * 50_000], 3, "expected a line of an export"),
        (lambda lines: [*lines[:2], b"[" * 100_000], 3, "too deep"),
        (lambda lines: [*lines[:2], b"\n", *lines[2:]], 3, "expected a line of an export"),
        (lambda lines: lines[1:], 1, "event 2, which does not follow event 0"),
    ],
)  # fmt: skip
def test_what_is_no_history_is_refused_by_its_line(
    log: SqliteLog, other: SqliteLog, change: Callable[[Lines], Lines], number: int, words: str
) -> None:
    """Whatever was done to a line is seen there or at the next one, and nothing of the lines is in the log."""
    lines = list(exported(log))
    with pytest.raises(Refused) as error:
        brought(other, change(lines))

    assert f"dump:{number}:" in str(error.value)
    assert words in str(error.value)
    assert not other.exists
    assert brought(other, lines) == (5, 0)


def test_a_history_that_forked_is_refused(log: SqliteLog, other: SqliteLog, bodies: list[EventBody]) -> None:
    """A log that has gone another way takes nothing of this one."""
    brought(other, list(exported(log, 0, 3)))
    other.append(bodies[:1], source="here", expected=3)
    before = list(exported(other))

    with pytest.raises(Refused, match=r"dump:4: another event 4 than .* has; expected the same history"):
        brought(other, list(exported(log)))

    assert list(exported(other)) == before


def test_a_part_that_follows_another_history_is_refused(log: SqliteLog, other: SqliteLog) -> None:
    """Where the end of the log is not what the first line follows, nothing is appended."""
    log_at(Path(other.path), deletion_of("Pod", "a/b"), deletion_of("Pod", "a/c"))

    with pytest.raises(Refused, match="dump:1: event 3, which does not follow event 2"):
        brought(other, list(exported(log, 2)))

    assert other.last_sequence() == 2


@pytest.mark.parametrize("line", [1, 3, 5])
def test_failed_import_changes_nothing(log: SqliteLog, other: SqliteLog, line: int) -> None:
    """An export with a changed line is imported as little as none of it, into a new log and into one with events."""
    lines = list(exported(log))
    changed = [*lines[: line - 1], lines[line - 1].replace(b"node.deleted", b"pod.deleted"), *lines[line:]]
    with pytest.raises(Refused):
        brought(other, changed)
    assert not other.exists
    assert brought(other, lines[:1]) == (1, 0)
    with pytest.raises(Refused):
        brought(other, changed)
    assert other.verify() == 1
    assert brought(other, lines) == (4, 1)


@pytest.mark.parametrize("kept", [1, 2])
def test_base_without_record_is_refused(log: SqliteLog, other: SqliteLog, kept: int) -> None:
    """An export whose base no event of it records, such as a base alone, leaves no log."""
    compacted(log, 3, None, "test")
    lines = list(exported(log))
    with pytest.raises(LogCorrupt, match="not on record"):
        brought(other, lines[:kept])
    assert not other.exists
    assert brought(other, lines) == (3, 0)
    assert other.verify() == 3


def test_type_that_is_not_the_body_s_is_refused(log: SqliteLog, other: SqliteLog) -> None:
    """A row of another type than its body would be left out by readers of that type."""
    (row, *_) = log.rows()
    forged = row._replace(type=b"pod.deleted")
    line = forged._replace(hash=forged.digest()).line()
    with pytest.raises(Refused, match=r"node\.deleted"):
        brought(other, [line])
    other.adopt([forged._replace(hash=forged.digest())], expected=0)
    with pytest.raises(LogCorrupt, match=r"node\.deleted"):
        list(other.read())


def test_an_event_of_a_megabyte_comes_over(log: SqliteLog, other: SqliteLog) -> None:
    """As large as it may be."""
    log.append([deletion_of("Node", "n" * 1_048_000)], source="test", expected=5)

    assert brought(other, list(exported(log))) == (6, 0)
    assert other.verify() == 6


def test_the_command_says_what_came(
    log: SqliteLog, other: SqliteLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It counts what is new and what was known, and a file that cannot be read is a fault like any other."""
    dump = tmp_path / "dump.jsonl"
    dump.write_bytes(b"".join(exported(log)))
    for new, known in ((5, 0), (0, 5)):
        assert main(["log", "import", "--log", other.path, str(dump), "-o", "json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"imported": new, "known": known, "sequence": 5}

    assert main(["log", "import", "--log", other.path, str(tmp_path / "none")]) == 2
    assert (
        capsys.readouterr().err
        == f"error: {tmp_path}/none: No such file or directory; expected a file to read, or - for stdin\n"
    )


@given(st.fixed_dictionaries({name: st.text() | st.from_regex(r"[ -~]*", fullmatch=True) for name in TEXTS}), BODY)
def test_a_row_is_hashed_as_its_canonical_json(texts: dict[str, str], body: object) -> None:
    """Whatever stands in its columns, also where no character needs a look."""
    row = StoredEvent(7, **{name: text.encode() for name, text in texts.items()}, body=canonical(body))
    plain = {**texts, "sequence": 7, "body": body}

    assert row.line() == canonical(plain) + b"\n"
    assert row.digest().decode() == sha256(canonical({k: v for k, v in plain.items() if k != "hash"})).hexdigest()
    assert StoredEvent.of_line(row.line()) == row
