"""A cluster is put on record as it is, whatever becomes of the connection to it."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from adapters.eventlog.snapshots import Snapshots
from adapters.eventlog.sqlite import SqliteLog
from adapters.kubernetes.api import list_watch
from adapters.kubernetes.api.api_client import ApiError, ResourceExpired
from adapters.kubernetes.api.resources import RESOURCES
from adapters.kubernetes.log_recorder import LogRecorder
from adapters.system.clock import FixedClock, SystemIds
from engine.errors import Refused
from engine.events import ObjectRefused
from engine.events.outcomes import ApplyFailed
from engine.objects import KINDS, ClusterObject, key_of
from engine.state.admission import events_for
from engine.state.fold import ClusterState, fold_bodies
from tests.support.kubernetes.fake_api import Document, FakeApi
from tests.support.kubernetes.recorded_clusters import document_of, reached, recording
from tests.support.policies.random_clusters import World, drawn
from tests.support.seeds import examples, seeded

BY_KIND = {resource.kind: resource for resource in RESOURCES}


def objects_in(state: ClusterState) -> dict[str, dict[str, ClusterObject]]:
    """All objects by kind and key."""
    return {kind: dict(state.objects(kind)) for kind in KINDS}


def state_of(world: World) -> ClusterState:
    """The state that a cluster's objects make."""
    return fold_bodies(events_for(ClusterState(), [(item, None) for item in world.objects]))


def put(api: FakeApi, before: World | None, world: World) -> None:
    """Have the API hold a cluster's objects and no others."""
    there = {(item.kind, key_of(item)) for item in world.objects}
    for item in before.objects if before else ():
        if (item.kind, key_of(item)) not in there:
            api.remove(BY_KIND[item.kind], key_of(item))
    for item in world.objects:
        api.put(BY_KIND[item.kind], document_of(item))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails is tried again at once."""
    monkeypatch.setattr(list_watch, "_FIRST", 0.001)
    monkeypatch.setattr(list_watch, "_LONGEST", 0.01)


@settings(examples(15), phases=(Phase.explicit, Phase.reuse, Phase.generate))  # to shrink it takes minutes
@given(st.integers(0, 10**9), st.data())
def test_the_log_becomes_as_the_cluster_is(seed: int, data: st.DataObject) -> None:
    """Through changes, watches that are cut off, histories that are forgotten, failures and restarts of the recorder."""
    dice = seeded(seed)

    def trouble(*_: str) -> None:
        if dice.random() < 0.05:
            raise dice.choice((ApiError("no"), ApiError("too many", 429, 0.001), ResourceExpired()))

    async def play(folder: str) -> None:
        log, before = SqliteLog(f"{folder}/log", FixedClock(), SystemIds()), None
        api = FakeApi(trouble=trouble)
        for number in range(2):
            world = drawn(f"{seed} {number}")
            put(api, before, world)  # while nobody listens
            before = world
            async with recording(api, log):
                for step in range(2):
                    world = _like(drawn(f"{seed} {number} {step}"), before)
                    put(api, before, world)
                    before = world
                    data.draw(st.sampled_from((api.end_watches, api.forget, api.bookmark)))()
                    wanted = objects_in(state_of(world))
                    await reached(log, lambda state, wanted=wanted: objects_in(state) == wanted)  # type: ignore[misc]
        assert log.verify() == log.last_sequence()

    with TemporaryDirectory() as folder:
        asyncio.run(play(folder))


def _like(world: World, before: World) -> World:
    """A cluster whose tiers have the ranks that they had, which cannot change."""
    tiers = {item.metadata.name: item for item in before.objects if item.kind == "Tier"}
    objects = tuple(tiers.get(item.metadata.name, item) if item.kind == "Tier" else item for item in world.objects)
    made = World(world.seed, objects, world.config, world.host)
    try:
        state_of(made)
    except Refused:  # as its tier's rank may be another's
        return before
    return made


def played(play: Callable[[FakeApi, SqliteLog], Coroutine[None, None, None]], api: FakeApi, folder: Path) -> SqliteLog:
    """Play a scene, and return the log that comes of it."""
    log = SqliteLog(str(folder / "log"), FixedClock(), SystemIds())
    asyncio.run(play(api, log))
    return log


NODE: Document = {"metadata": {"name": "n1", "resourceVersion": "1"}}


def test_a_collection_is_asked_for_page_by_page_and_watched_from_there(tmp_path: Path) -> None:
    """Lists by pages, watches with bookmarks from the version that was listed; bookmarks move it on."""
    api = FakeApi(page=2)
    for number in range(5):
        api.put(BY_KIND["Node"], {"metadata": {"name": f"n{number}"}})

    async def play(api: FakeApi, log: SqliteLog) -> None:
        async with recording(api, log):
            api.bookmark()
            await asyncio.sleep(0.05)
            last = api.version
            api.end_watches()
            await asyncio.sleep(0.1)
            assert int(api.asked[-1][2]["resourceVersion"]) >= last - len(RESOURCES)

    log = played(play, api, tmp_path)
    nodes = [(verb, params.get("continue")) for verb, path, params in api.asked if path == "/api/v1/nodes"]
    assert nodes[:4] == [("list", None), ("list", "2"), ("list", "4"), ("watch", None)]
    assert len(Snapshots(log).reached()[0].nodes) == 5


def test_nothing_is_recorded_before_every_kind_was_listed(tmp_path: Path) -> None:
    """Or what is not told yet would be taken for gone."""
    api = FakeApi()
    api.put(BY_KIND["Node"], NODE)
    closed = True

    def trouble(_: str, path: str) -> None:
        if closed and path.endswith("/tiers"):
            raise ApiError("not yet", 503)

    api.trouble = trouble

    async def play(api: FakeApi, log: SqliteLog) -> None:
        nonlocal closed
        task = asyncio.ensure_future(LogRecorder(api, log, "test", seeded(0)).run())
        await asyncio.sleep(0.2)
        assert not log.exists
        closed = False
        await reached(log, lambda state: "n1" in state.nodes)
        task.cancel()

    played(play, api, tmp_path)


def test_one_bad_object_holds_up_no_other(tmp_path: Path) -> None:
    """It is refused on record; what waits for another, as a policy for its tier, is judged again with all news."""
    api = FakeApi()
    policy = {"metadata": {"name": "p"}, "spec": {"priority": 5, "tier": "own", "appliedTo": [{"nodeSelector": {}}]}}
    api.put(BY_KIND["ClusterNetworkPolicy"], policy)
    api.put(BY_KIND["ClusterNetworkPolicy"], {"metadata": {"name": "bad"}, "spec": {"priority": "high"}})
    api.put(BY_KIND["Node"], NODE)

    async def play(api: FakeApi, log: SqliteLog) -> None:
        async with recording(api, log):
            state = await reached(log, lambda state: "n1" in state.nodes)
            assert sorted(state.refusals) == ["ClusterNetworkPolicy/bad", "ClusterNetworkPolicy/p"]
            api.put(BY_KIND["Tier"], {"metadata": {"name": "own"}, "spec": {"priority": 77}})
            state = await reached(log, lambda state: "p" in state.policies)
            assert sorted(state.refusals) == ["ClusterNetworkPolicy/bad"]
            api.remove(BY_KIND["Tier"], "own")  # while a policy is in it
            api.remove(BY_KIND["Node"], "n1")
            state = await reached(log, lambda state: "n1" not in state.nodes)
            assert "own" in state.tiers
            api.remove(BY_KIND["ClusterNetworkPolicy"], "p")
            state = await reached(log, lambda state: "own" not in state.tiers)

    log = played(play, api, tmp_path)
    refused = [event.body for event in log.read() if isinstance(event.body, ObjectRefused)]
    assert [body.name for body in refused] == ["p", "bad"]


def test_what_others_append_is_taken_into_account(tmp_path: Path) -> None:
    """An agent puts its outcomes on the same log."""
    api = FakeApi()

    async def play(api: FakeApi, log: SqliteLog) -> None:
        async with recording(api, log):
            for number in range(5):
                log.append([ApplyFailed(node="n", wanted=1, words="no")], source="agent", expected=2 * number)
                api.put(BY_KIND["Node"], {"metadata": {"name": f"n{number}"}})
                await reached(log, lambda state, number=number: f"n{number}" in state.nodes)  # type: ignore[misc]

    assert played(play, api, tmp_path).verify() == 10


def test_an_object_that_is_too_large_is_left_out(tmp_path: Path) -> None:
    """And said to be; all others are recorded."""
    api = FakeApi()
    blocks = [{"ipBlock": {"cidr": f"10.{number >> 8}.{number & 255}.0/24"}} for number in range(20_000)]
    rule = {"action": "Allow", "from": blocks}
    spec = {"priority": 5, "appliedTo": [{"nodeSelector": {}}], "ingress": [rule]}
    api.put(BY_KIND["ClusterNetworkPolicy"], {"metadata": {"name": "large"}, "spec": spec})
    api.put(BY_KIND["Node"], NODE)

    async def play(api: FakeApi, log: SqliteLog) -> None:
        async with recording(api, log):
            state = await reached(log, lambda state: "n1" in state.nodes)
            assert not state.policies

    played(play, api, tmp_path)


def test_an_upgraded_server_is_watched_on(tmp_path: Path) -> None:
    """A server that had the older version of an API alone is replaced by one that has the newer alone, and back."""
    slices = BY_KIND["EndpointSlice"]
    newer, older = slices.paths
    missing = newer

    def trouble(_: str, path: str) -> None:
        if path == missing:
            raise ApiError(f"the API has no {path}", 404)

    async def recorded(api: FakeApi, log: SqliteLog, name: str) -> None:
        metadata = {"name": name, "namespace": "d", "labels": {"kubernetes.io/service-name": "web"}}
        api.put(slices, {"metadata": metadata, "addressType": "IPv4", "endpoints": []})
        state = await reached(log, lambda state: f"d/{name}" in state.endpoint_slices)
        assert state.endpoint_slices[f"d/{name}"].service == "d/web"

    async def play(api: FakeApi, log: SqliteLog) -> None:
        nonlocal missing
        async with recording(api, log):
            await recorded(api, log, "before")
            missing = older
            api.end_watches()
            await recorded(api, log, "upgraded")
            missing = newer
            api.end_watches()
            await recorded(api, log, "downgraded")

    played(play, FakeApi(trouble=trouble), tmp_path)
