"""What an API server answers, in nodewall's words; and definitions as a server takes them."""

import asyncio
import json
from collections.abc import Callable

import httpx2
import pytest

from adapters.kubernetes.api import api_client
from adapters.kubernetes.api.api_client import ApiError, LightkubeApi, ResourceExpired, WriteVerb
from adapters.kubernetes.api.list_watch import listed as listing
from adapters.kubernetes.api.resources import BY_KIND, key_in
from adapters.kubernetes.install.crds import crds
from engine.objects import KINDS

Handler = Callable[[httpx2.Request], httpx2.Response]


def api_of(handler: Handler) -> LightkubeApi:
    """An API that answers by a function."""
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(handler), base_url="https://api")
    return LightkubeApi(client, "https://api")


def listed(handler: Handler, path: str = "/api/v1/pods") -> dict[str, object]:
    """What a list comes to."""

    async def ask() -> dict[str, object]:
        api = api_of(handler)
        try:
            return await api.get(path, {})
        finally:
            await api.close()

    return asyncio.run(ask())


def watched(handler: Handler) -> list[dict[str, object]]:
    """What a watch comes to."""

    async def ask() -> list[dict[str, object]]:
        api = api_of(handler)
        try:
            return [event async for event in api.watch("/api/v1/pods", {"resourceVersion": "1", "timeoutSeconds": "1"})]
        finally:
            await api.close()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "status, words",
    [
        (401, "the credentials were not accepted"),
        (403, 'may not list pods: grant verb list on resource pods of API group ""'),
        (404, "the API has no /api/v1/pods"),
        (429, "list of /api/v1/pods: status 429: slower"),
        (500, "list of /api/v1/pods: status 500: slower"),
    ],
)
def test_refusals_are_told_in_one_line(status: int, words: str) -> None:
    """What was asked, and what to do; and how long to wait where that is said."""
    answer = httpx2.Response(status, json={"message": "slower"}, headers={"Retry-After": "7"})
    with pytest.raises(ApiError) as found:
        listed(lambda _: answer)
    assert (str(found.value), found.value.code) == (words, status)
    assert found.value.wait == (7.0 if status in {429, 500} else None)


def test_missing_definitions_are_told_how_to_be_made() -> None:
    """Only those are nodewall's to define."""
    with pytest.raises(ApiError, match=r"no crd.antrea.io/v1beta1/tiers: apply what nodewall crds prints"):
        listed(lambda _: httpx2.Response(404), "/apis/crd.antrea.io/v1beta1/tiers")


@pytest.mark.parametrize("text", ["", "<html>", "[]", '{"items": [', "\x00" * 9])
def test_what_is_no_answer_is_refused(text: str) -> None:
    """Proxies and cut off connections answer all kinds of things."""
    with pytest.raises(ApiError, match="instead of a whole object"):
        listed(lambda _: httpx2.Response(200, text=text))


def test_a_server_that_is_not_there_is_a_fault() -> None:
    """Whatever the reason."""

    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("nobody listens", request=request)

    for ask in (listed, watched):
        with pytest.raises(ApiError, match="https://api: not reached: nobody listens"):
            ask(refuse)


def lines(*events: object) -> Handler:
    """Answers with events, a line each; what is text stands as it is."""
    text = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in events)
    return lambda _: httpx2.Response(200, text=text)


ADDED = {"type": "ADDED", "object": {"metadata": {"name": "a", "resourceVersion": "2"}}}


def test_a_watch_yields_its_events_until_it_ends() -> None:
    """It asks for bookmarks, so that its version stays fresh; an empty event tells that it has begun."""
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return lines(ADDED, {"type": "BOOKMARK", "object": {}})(request)

    assert [event.get("type") for event in watched(answer)] == [None, "ADDED", "BOOKMARK"]
    assert dict(asked[0].url.params) == {
        "resourceVersion": "1",
        "timeoutSeconds": "1",
        "watch": "true",
        "allowWatchBookmarks": "true",
    }


def test_a_watch_that_is_cut_off_within_a_line_is_a_fault() -> None:
    """What came before it is not lost."""
    with pytest.raises(ApiError, match="instead of a whole object"):
        watched(lines(ADDED, '{"type": "ADD'))


@pytest.mark.parametrize("code, kind", [(410, ResourceExpired), (500, ApiError)])
def test_what_is_too_old_has_to_be_listed_anew(code: int, kind: type[Exception]) -> None:
    """Said as an answer, or within a watch."""
    with pytest.raises(kind):
        watched(lines({"type": "ERROR", "object": {"code": code, "message": "too old"}}))
    with pytest.raises(kind):
        listed(lambda _: httpx2.Response(code))


def test_definitions_are_structural_and_always_the_same() -> None:
    """Every field has a type, nothing refers elsewhere, and what is not named is kept."""

    def check(schema: object, path: str) -> None:
        assert isinstance(schema, dict), path
        assert "type" in schema, path
        assert not {"$ref", "anyOf", "default", "title", "const"} & schema.keys(), path
        for name, field in schema.get("properties", {}).items():
            check(field, f"{path}.{name}")
        for word in ("items", "additionalProperties"):
            if word in schema:
                check(schema[word], f"{path}.{word}")

    documents = crds()
    assert documents == crds()
    for document in documents:
        spec = document["spec"]
        assert isinstance(spec, dict)
        kind = spec["names"]["kind"]
        assert kind in {*KINDS, "NodeFirewall"}
        assert [version["storage"] for version in spec["versions"]].count(True) == 1
        for version in spec["versions"]:
            check(version["schema"]["openAPIV3Schema"], kind)
            fields = version["schema"]["openAPIV3Schema"]["properties"]["spec" if kind in KINDS else "status"]
            assert fields["x-kubernetes-preserve-unknown-fields"] is True


@pytest.mark.parametrize(
    "how, path, named",
    [
        (
            WriteVerb.APPLY,
            "/apis/nodewall.io/v1alpha1/nodefirewalls/n1/status",
            'nodefirewalls/status of API group "nodewall.io"',
        ),
        (WriteVerb.CREATE, "/api/v1/namespaces/default/events", 'events of API group ""'),
        (
            WriteVerb.UPDATE,
            "/apis/coordination.k8s.io/v1/namespaces/a/leases/b",
            'leases of API group "coordination.k8s.io"',
        ),
    ],
)
def test_a_right_to_write_that_is_missing_is_named(how: WriteVerb, path: str, named: str) -> None:
    """As the verb and the resource, with its subresource, of its group."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["Content-Type"] == how.value[2]
        return httpx2.Response(403, json={"message": "no"})

    async def ask() -> None:
        await api_of(answer).write(how, path, {})

    with pytest.raises(ApiError, match=f"grant verb {how.value[0]} on resource {named}"):
        asyncio.run(ask())


def test_answer_that_is_too_large_is_asked_for_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Down to one object, which then is a fault; the list is whole where smaller pages are not too large."""
    monkeypatch.setattr(api_client, "_LARGEST_ANSWER", 10_000)
    limits: list[int] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        limit, begin = int(request.url.params["limit"]), int(request.url.params.get("continue", "0"))
        limits.append(limit)
        items = [{"metadata": {"name": f"n{number}"}, "status": "x" * size} for number in range(begin, begin + limit)]
        more = {"continue": str(begin + limit)} if begin + limit < 100 else {}
        return httpx2.Response(200, json={"items": items, "metadata": {"resourceVersion": "7", **more}})

    async def ask() -> tuple[dict[str, str], str]:
        api = api_of(answer)
        try:
            node = BY_KIND["Node"]
            return await listing(api, node, "/api/v1/nodes", key_in)
        finally:
            await api.close()

    size = 100
    found, version = asyncio.run(ask())
    assert (len(found), version, limits[:2]) == (100, "7", [500, 50])
    size = 20_000
    with pytest.raises(ApiError, match="more than 10,000 bytes"):
        asyncio.run(ask())
    assert limits[-3:] == [50, 5, 1]


def test_event_that_is_too_large_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """No API server holds such an object, and none is waited for without end."""
    monkeypatch.setattr(api_client, "_LARGEST_EVENT", 1000)
    with pytest.raises(ApiError, match="an event of more than 1,000 bytes"):
        watched(lines(ADDED, "x" * 2000))


def test_event_that_no_program_could_read_ends_no_watch() -> None:
    """Those before and after it come."""
    bad = json.dumps(ADDED).replace('"a"', '"a", "x": ' + "[" * 900 + "]" * 900)
    assert len(watched(lines(ADDED, bad, ADDED))) == 4
