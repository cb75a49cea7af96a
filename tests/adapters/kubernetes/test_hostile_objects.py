"""An object that no program could read is refused alone, and every loop goes on."""

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given, settings

from adapters.eventlog.jsonl import exported, imported
from adapters.eventlog.snapshots import Snapshots
from adapters.eventlog.sqlite import SqliteLog
from adapters.inputs.manifests import scan
from adapters.kubernetes import status_controller
from adapters.kubernetes.admission.webhook import Webhook, WebhookServer
from adapters.kubernetes.api import list_watch
from adapters.kubernetes.api.k8s_events import KubernetesEventRecorder
from adapters.kubernetes.api.resources import BY_KIND, key_in, read
from adapters.kubernetes.status_controller import StatusController
from adapters.system.clock import CountedIds, FixedClock, SystemIds
from engine.bounded_json import parse_objects
from engine.errors import LogCorrupt, Refused
from engine.events import NodeDeleted, ObjectRefused, StoredEvent
from engine.state.admission import InvalidObject
from engine.state.fold import ClusterState
from tests.support.kubernetes.fake_api import Document, FakeApi, answered, nested, raw, text_of
from tests.support.kubernetes.hostile_objects import BAD, SOUND, hostile, sound
from tests.support.kubernetes.recorded_clusters import comes, reached, recording

POLICY = "ClusterNetworkPolicy"
LEVELS = (52, 201, 900, 5000)
_SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for seconds waits for thousandths."""
    monkeypatch.setattr(list_watch, "_FIRST", 0.001)
    monkeypatch.setattr(list_watch, "_LONGEST", 0.01)
    monkeypatch.setattr(status_controller, "_GATHERED", 0.001)


def deep(levels: int = 900) -> Document:
    """A policy that selects no Node, with lists in lists."""
    return {**sound(POLICY), "spec": {"priority": 5, "appliedTo": [], "ingress": nested(levels)}}


def log_in(folder: str | Path) -> SqliteLog:
    """A log that is new, or that there is."""
    return SqliteLog(f"{folder}/log", FixedClock(), SystemIds())


def refusals(log: SqliteLog) -> list[ObjectRefused]:
    """What was ever refused."""
    return [event.body for event in log.read() if isinstance(event.body, ObjectRefused)]


def key_of(kind: str) -> str:
    """The key of the hostile object."""
    return key_in(BY_KIND[kind], sound(kind))


@dataclass
class Scene:
    """A recorder, a controller and a webhook of one API."""

    api: FakeApi
    log: SqliteLog
    webhook: Webhook

    def review(self, kind: str, document: Document) -> object:
        """An AdmissionReview as the webhook reads it."""
        request = {"uid": "u", "operation": "CREATE", "kind": {"kind": kind}, "object": document}
        return parse_objects(text_of({"request": request}))


@contextlib.asynccontextmanager
async def playing(api: FakeApi, log: SqliteLog) -> AsyncIterator[Scene]:
    """Have all that follow an API run, and see that none of them ended."""
    dice = random.Random(0)
    notices = KubernetesEventRecorder(api, FixedClock(), CountedIds(), dice, "test")
    webhook = Webhook(api, dice)
    works = (StatusController(api, FixedClock(), dice, notices).run(), webhook.run())
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        async with recording(api, log):
            yield Scene(api, log, webhook)
        assert not [task.exception() for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@settings(max_examples=500 if _SOAK else 25, derandomize=not _SOAK)
@given(hostile())
def test_hostile_object_is_refused_alone(drawn: tuple[str, Document]) -> None:
    """Listed or changed, it is taken or refused once; its last good version and all other objects stay current."""
    kind, document = drawn
    resource, key = BY_KIND[kind], key_of(kind)

    async def play(folder: str) -> None:
        api, log = FakeApi(), log_in(folder)
        for each in SOUND:
            api.put(BY_KIND[each], sound(each, "before"))
        api.put(resource, sound(kind))
        async with playing(api, log) as scene:
            good = Snapshots(log).reached()[0].objects(kind)[key]
            api.put(resource, document)
            await others_stay_current(scene, "watched")
            expect(log, kind, document, good)
            assert await scene.webhook.reviewed(scene.review(kind, document)) is not None
            api.forget()
            await others_stay_current(scene, "listed")
        async with playing(api, log) as scene:
            await others_stay_current(scene, "restarted")
        expect(log, kind, document, good)

    with TemporaryDirectory() as folder:
        asyncio.run(play(folder))


async def others_stay_current(scene: Scene, name: str) -> None:
    """Wait until everybody knows of objects that are new."""
    for each in ("Node", POLICY):
        scene.api.put(BY_KIND[each], sound(each, name))
    await reached(scene.log, lambda state: name in state.nodes and name in state.policies)
    objects = scene.api.objects(BY_KIND[POLICY])
    await asyncio.wait_for(comes(lambda: bool(objects[name].get("status"))), 60)
    await asyncio.wait_for(comes(lambda: name in scene.webhook._state.policies), 60)


def expect(log: SqliteLog, kind: str, document: Document, good: object) -> None:
    """See that the object was taken, or refused once with its last good version in force."""
    found, key = read(BY_KIND[kind], answered(document)), key_of(kind)
    state = Snapshots(log).reached()[0]
    said = [body for body in refusals(log) if (body.kind, body.name) == (kind, key)]
    if isinstance(found, InvalidObject) or said:
        assert len(said) == 1
        assert state.objects(kind)[key] == good
    else:
        assert state.objects(kind)[key] == found


@pytest.mark.parametrize("levels", LEVELS)
def test_nested_policy_in_watch_is_refused(levels: int, tmp_path: Path) -> None:
    """With one event that says why, for the cluster's life and through restarts."""
    log = log_in(tmp_path)

    async def play() -> None:
        api = FakeApi()
        async with playing(api, log) as scene:
            api.put(BY_KIND[POLICY], deep(levels))
            await others_stay_current(scene, "watched")
        async with playing(api, log) as scene:
            await others_stay_current(scene, "restarted")

    asyncio.run(play())
    (refusal,) = refusals(log)
    assert (refusal.kind, refusal.name) == (POLICY, BAD)
    assert str(refusal.faults[0]) == ("spec.ingress[0][0][0]: nested too deep; expected at most 50 levels")


def test_nested_policy_in_first_list_is_refused(tmp_path: Path) -> None:
    """A new agent finds it in the cluster, between objects that are sound."""
    log = log_in(tmp_path)

    async def play() -> None:
        api = FakeApi()
        api.put(BY_KIND[POLICY], sound(POLICY, "first"))
        api.put(BY_KIND[POLICY], deep())
        api.put(BY_KIND[POLICY], sound(POLICY, "last"))
        async with playing(api, log) as scene:
            await others_stay_current(scene, "watched")

    asyncio.run(play())
    assert {"first", "last"} <= set(Snapshots(log).reached()[0].policies)
    assert len(refusals(log)) == 1


def test_nested_policy_in_review_is_refused() -> None:
    """By the server's own way of reading a body; what is no JSON gets status 400."""

    async def play() -> None:
        server = WebhookServer(Webhook(FakeApi(), random.Random(0)), "", 0, "", "")
        app = web.Application(client_max_size=8 << 20)
        app.router.add_post("/validate", server._validate)
        async with TestClient(TestServer(app)) as client:
            for levels in LEVELS:
                request = {"uid": "u", "operation": "CREATE", "kind": {"kind": POLICY}, "object": deep(levels)}
                answer = await client.post("/validate", data=text_of({"request": request}))
                response = (await answer.json())["response"]
                assert not response["allowed"]
                assert "nested too deep; expected at most 50 levels" in response["status"]["message"]
            assert (await client.post("/validate", data=b"[" * 100_000)).status == 400

    asyncio.run(play())


def test_nested_list_in_manifest_is_refused() -> None:
    """As YAML and as JSON."""
    texts = (f"spec: {'[' * 900}{']' * 900}\n", text_of(deep()).decode())
    for text in texts:
        assert "nested too deep" in str(scan(("-",), StringIO(text)).faults[0])


def test_nested_list_in_import_is_refused(tmp_path: Path) -> None:
    """By its line, and nothing of it is in the log."""
    log = log_in(tmp_path)
    line = b'{"body":%s,"hash":"","id":"","previous":"","sequence":1,"source":"","time":"","type":""}\n'
    for levels in LEVELS[1:]:
        with pytest.raises(Refused, match="nested too deep"):
            imported(log, BytesIO(line % (b"[" * levels + b"]" * levels)), "dump")
    assert not log.exists


def test_nested_list_in_log_is_corrupt(tmp_path: Path) -> None:
    """Whoever wrote it there, and hashed it."""
    log = log_in(tmp_path)
    log.append([NodeDeleted(name="n")], source="test", expected=0)
    (row,) = map(StoredEvent.of_line, exported(log))
    body = b'{"name":' + b"[" * 900 + b"]" * 900 + b',"type":"node.deleted","version":1}'
    forged = row._replace(sequence=2, previous=row.hash, body=body, id=b"other")
    log.adopt([forged._replace(hash=forged.digest())], expected=1)
    with pytest.raises(LogCorrupt):
        Snapshots(log).reached()


@pytest.mark.parametrize("place", ["annotations", "managedFields"])
@pytest.mark.parametrize("value", [nested(900), raw('"\\ud800"'), raw("1e999")])
def test_unread_fields_may_hold_anything(place: str, value: str) -> None:
    """What nodewall does not read is no reason to refuse an object."""
    for kind in SOUND:
        document = sound(kind)
        metadata = document["metadata"]
        assert isinstance(metadata, dict)
        found = read(BY_KIND[kind], answered({**document, "metadata": {**metadata, place: value}, "status": {}}))
        assert not isinstance(found, InvalidObject)


def test_object_too_large_for_log_is_refused_once(tmp_path: Path) -> None:
    """The refusal stands in the log, and is not repeated by a new list."""
    blocks = [{"ipBlock": {"cidr": f"10.{number >> 8}.{number & 255}.0/24"}} for number in range(30_000)]
    spec = {"priority": 5, "appliedTo": [{"nodeSelector": {}}], "ingress": [{"action": "Allow", "from": blocks}]}
    log = log_in(tmp_path)

    async def play() -> None:
        api = FakeApi()
        api.put(BY_KIND[POLICY], {**sound(POLICY), "spec": spec})
        for name in ("one", "two"):
            api.put(BY_KIND["Node"], sound("Node", name))
            async with recording(api, log):
                await reached(log, lambda state, name=name: name in state.nodes)  # type: ignore[misc]

    asyncio.run(play())
    (refusal,) = refusals(log)
    assert "bytes; expected at most" in str(refusal.faults[0])
    assert ClusterState().policies == Snapshots(log).reached()[0].policies
