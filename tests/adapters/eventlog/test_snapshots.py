"""A state that is reached from one that was kept is the fold of all events; what is kept wrongly counts for nothing."""

import shutil
import tracemalloc
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.eventlog import snapshots as states
from adapters.eventlog.snapshot_store import FolderSnapshots
from adapters.eventlog.snapshots import Snapshots
from adapters.eventlog.sqlite import SqliteLog
from adapters.system.clock import CountedIds, FixedClock
from engine.errors import LogCorrupt
from engine.events import ConfigDeclared, EventBody, HostObserved, ObjectRefused, declaration_of, deletion_of
from engine.events.outcomes import ApplyFailed, ApplyProposed, DriftRepaired, FailedRule, RulesetApplied
from engine.objects import key_of
from engine.objects.config import Configuration
from engine.state.fold import fold_bodies, snapshot_events
from tests.support.eventlog.event_logs import damage, log_of
from tests.support.policies.object_strategies import clusters

NODES = st.sampled_from(["n1", "n2"])
REFUSED = FailedRule(policy="p", rule="r", words="no")
DONE = st.one_of(
    st.builds(
        ApplyProposed,
        node=NODES,
        wanted=st.integers(0, 9),
        ruleset=st.just("0"),
        operations=st.just(1),
        method=st.just("in-place"),
    ),
    st.builds(
        RulesetApplied,
        node=NODES,
        realized=st.integers(0, 9),
        ruleset=st.just("0"),
        operations=st.just(1),
        failed=st.sampled_from([None, (REFUSED,)]),
    ),
    st.builds(ApplyFailed, node=NODES, wanted=st.integers(0, 9), words=st.just("no")),
    st.builds(DriftRepaired, node=NODES, found=st.just(("x",)), operations=st.just(1)),
    st.builds(HostObserved, node=NODES, interfaces=st.just(("eth0",)), resolvers=st.just(())),
    st.builds(ObjectRefused, kind=st.just("Tier"), name=st.sampled_from("ab"), faults=st.just(())),
    st.sampled_from(
        [ConfigDeclared(config=Configuration()), ConfigDeclared(config=Configuration(allow_action="Return"))]
    ),
)


@st.composite
def histories(draw: st.DrawFn) -> list[EventBody]:
    """Events about a cluster's objects, which come and go, and about what was done."""
    objects = draw(clusters())
    bodies: list[EventBody] = [declaration_of(item) for item in objects]
    bodies += [deletion_of(item.kind, key_of(item)) for item in objects if draw(st.booleans())]
    bodies += draw(st.lists(DONE, max_size=8))
    return draw(st.permutations(bodies))


def kept(snapshots: Snapshots) -> Path:
    """The folder of the snapshots of a log."""
    store = snapshots.log.snapshots
    assert isinstance(store, FolderSnapshots)
    return store.folder


@given(histories())
def test_any_state_is_the_fold_of_the_events_before_it(bodies: list[EventBody]) -> None:
    """Whether states are kept already or not, and up to any sequence, whatever was asked before."""
    with TemporaryDirectory() as folder:
        snapshots = Snapshots(log_of(folder, bodies), interval=3)
        for until in (*range(len(bodies) + 2), None, *range(len(bodies), -1, -2)):
            state, mark = snapshots.reached(until)
            assert state == fold_bodies(bodies[:until])
            assert mark.sequence == state.sequence == len(bodies[:until])
        assert len(list(kept(snapshots).glob("*"))) == len(bodies) // 3 if len(bodies) > 2 else True


@given(histories())
def test_a_state_is_led_to_by_its_shortest_history(bodies: list[EventBody]) -> None:
    """It leads to the same but for the sequence, is no longer, and does not hang on the order of events."""
    state = fold_bodies(bodies)
    short = list(snapshot_events(state))

    again = fold_bodies(short)
    assert list(snapshot_events(again)) == short
    assert (again.policies, again.pods, again.config, again.hosts) == (
        state.policies,
        state.pods,
        state.config,
        state.hosts,
    )
    assert (again.refusals, again.outcomes, again.under_way) == (state.refusals, state.outcomes, state.under_way)
    assert len(short) <= len(bodies)


BODIES = tuple(
    deletion_of("Node", f"n{number}") if number % 3 else ApplyFailed(node=f"n{number}", wanted=1, words="no")
    for number in range(20)
)


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    """A log of 20 events, and its states at 5, 10, 15 and 20."""
    made = Snapshots(log_of(str(tmp_path), BODIES), interval=5)
    made.reached()
    return made


def test_only_the_rest_is_read(snapshots: Snapshots) -> None:
    """Events before the nearest state are not looked at, and those behind it are."""
    damage(snapshots.log, 7)
    assert snapshots.reached()[0] == fold_bodies(BODIES)
    assert snapshots.reached(12)[0] == fold_bodies(BODIES[:12])
    with pytest.raises(LogCorrupt, match="event 7"):
        snapshots.reached(9)
    with pytest.raises(LogCorrupt, match="event 7"):
        SqliteLog(snapshots.log.name, FixedClock(), CountedIds()).verify()


@pytest.mark.parametrize("junk", [b"", b"\x00" * 100, b"cut", b"flip"])
def test_a_state_that_is_damaged_is_as_good_as_none(snapshots: Snapshots, junk: bytes) -> None:
    """It is left out, and written again once its event is passed."""
    path = kept(snapshots) / f"{20:012}.z"
    whole = path.read_bytes()
    flipped = whole[:60] + bytes([whole[60] ^ 1]) + whole[61:]
    path.write_bytes({b"cut": whole[:50], b"flip": flipped}.get(junk, junk))

    assert snapshots.reached()[0] == fold_bodies(BODIES)
    assert path.read_bytes() == whole


def test_snapshot_that_expands_without_end_is_ignored(snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a few KB can hold gigabytes; no more than the limit of it is decompressed."""
    path = kept(snapshots) / f"{20:012}.z"
    text = zlib.decompress(path.read_bytes())
    path.write_bytes(zlib.compress(text + b" " * (64 << 20)))
    monkeypatch.setattr(states, "LARGEST", 1 << 20)
    tracemalloc.start()
    try:
        assert snapshots.reached()[0] == fold_bodies(BODIES)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


def test_a_state_of_another_log_is_none_of_this(snapshots: Snapshots, tmp_path: Path) -> None:
    """Where the log was replaced, its states are worked out anew."""
    others = [deletion_of("Pod", f"a/b{number}") for number in range(20)]
    other = Snapshots(log_of(str(tmp_path), others, "other"), interval=5)
    shutil.copytree(kept(snapshots), kept(other))

    assert other.reached(17)[0] == fold_bodies(others[:17])


def test_where_states_cannot_be_kept_they_are_worked_out(tmp_path: Path) -> None:
    """A file in the place of their folder is no failure."""
    snapshots = Snapshots(log_of(str(tmp_path), BODIES), interval=5)
    kept(snapshots).write_text("mine")
    for _ in range(2):
        assert snapshots.reached()[0] == fold_bodies(BODIES)
    assert kept(snapshots).read_text() == "mine"


def test_what_is_kept_is_nobody_elses_business(snapshots: Snapshots) -> None:
    """Only who owns the log can look into the folder."""
    assert kept(snapshots).stat().st_mode & 0o777 == 0o700
