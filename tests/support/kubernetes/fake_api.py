"""In-memory API server that answers, fails, ends watches or forgets versions, as a test asks."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from adapters.kubernetes.api.api_client import ApiError, KubernetesApi, ResourceExpired, WriteVerb
from adapters.kubernetes.api.resources import NODE_FIREWALLS, RESOURCES, Resource, key_in
from engine.bounded_json import parse_objects

WATCHED = {path: resource for resource in (*RESOURCES, NODE_FIREWALLS) for path in resource.paths}

Document = dict[str, object]

_RAW = re.compile(r'"@raw:([0-9a-f]*)@"')


def raw(text: str) -> str:
    """Return a placeholder for a value with the JSON ``text``, which no encoder writes."""
    return f"@raw:{text.encode().hex()}@"


def nested(levels: int) -> str:
    """Return a placeholder for lists nested ``levels`` deep."""
    return raw("[" * levels + "]" * levels)


def text_of(document: object) -> bytes:
    """Return an object as JSON, with placeholders replaced by their texts."""
    return _RAW.sub(lambda found: bytes.fromhex(found[1]).decode(), json.dumps(document)).encode()


def answered(document: object) -> Document:
    """Return an object as the client reads it."""
    found = parse_objects(text_of(document))
    assert isinstance(found, dict)
    return found


@dataclass
class FakeApi(KubernetesApi):
    """In-memory API server; ``trouble`` may raise before an answer and between the events of a watch."""

    page: int = 2
    trouble: Callable[[str, str], None] = lambda *_: None
    version: int = 1
    forgotten: int = 0
    """Resource version up to which the server has forgotten events."""
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    written: list[tuple[WriteVerb, str, Document]] = field(default_factory=list)
    others: dict[str, Document] = field(default_factory=dict)
    """Objects of unwatched kinds, by path."""
    _objects: dict[str, dict[str, Document]] = field(default_factory=dict)
    _events: list[tuple[int, str, Document]] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, resource: Resource, document: Mapping[str, object]) -> None:
        """Create or update an object."""
        there = self._objects.setdefault(resource.paths[0], {})
        key = key_in(resource, document)
        kind = "MODIFIED" if key in there else "ADDED"
        there[key] = self._happened(resource, kind, document)

    def remove(self, resource: Resource, key: str) -> None:
        """Delete an object."""
        document = self._objects.get(resource.paths[0], {}).pop(key, None)
        if document is not None:
            self._happened(resource, "DELETED", document)

    def bookmark(self) -> None:
        """Send a bookmark to all watches."""
        for resource in RESOURCES:
            self._happened(resource, "BOOKMARK", {"metadata": {}})

    def forget(self) -> None:
        """Forget all past events, and end the watches."""
        self.forgotten = self.version
        self._events.clear()
        self.end_watches()

    def end_watches(self) -> None:
        """End all watches, as the restart of a server does."""
        self._happened(RESOURCES[0], "END", {"metadata": {}})

    def _happened(self, resource: Resource, kind: str, document: Mapping[str, object]) -> Document:
        self.version += 1
        metadata = document.get("metadata")
        told = {
            **document,
            "metadata": {**(metadata if isinstance(metadata, dict) else {}), "resourceVersion": str(self.version)},
        }
        self._events.append((self.version, kind, {"path": resource.paths[0], "object": told}))
        news, self._news = self._news, asyncio.Event()
        news.set()
        return told

    async def get(self, path: str, params: Mapping[str, str], verb: str) -> dict[str, object]:
        self.asked.append((verb, path, dict(params)))
        self.trouble(verb, path)
        if path in self.others:
            return answered(self.others[path])
        if path not in WATCHED:
            raise ApiError(f"the API has no {path}", 404)
        items = list(self.objects(WATCHED[path]).values())
        begin = int(params.get("continue", "0"))
        rest = {"continue": str(begin + self.page)} if begin + self.page < len(items) else {}
        page = {"items": items[begin : begin + self.page], "metadata": {"resourceVersion": str(self.version), **rest}}
        return answered(page)

    async def write(self, how: WriteVerb, path: str, document: Mapping[str, object]) -> dict[str, object]:
        verb = how.value[0]
        self.asked.append((verb, path, {}))
        self.trouble(verb, path)
        self.written.append((how, path, dict(document)))
        collection, _, name = path.removesuffix("/status").rpartition("/")
        if collection in WATCHED:
            return self._changed(how, collection, name, path, document)
        if how is WriteVerb.CREATE:
            metadata = document["metadata"]
            assert isinstance(metadata, dict)
            path = f"{path}/{metadata['name']}"
            if path in self.others:
                raise ApiError("there is one", 409)
        elif path not in self.others:
            raise ApiError(f"the API has no {path}", 404)
        elif how is WriteVerb.UPDATE and _version(document) != _version(self.others[path]):
            raise ApiError("it has changed", 409)
        self.version += 1
        before = self.others.get(path, {}) if how in {WriteVerb.PATCH, WriteVerb.APPLY} else {}
        whole = {**before, **document}
        metadata = whole["metadata"]
        assert isinstance(metadata, dict)
        self.others[path] = {**whole, "metadata": {**metadata, "resourceVersion": str(self.version)}}
        return self.others[path]

    def _changed(
        self, how: WriteVerb, collection: str, name: str, path: str, document: Mapping[str, object]
    ) -> dict[str, object]:
        resource, there = WATCHED[collection], self._objects.setdefault(collection, {})
        if how is WriteVerb.DELETE:
            if name not in there:
                raise ApiError("gone already", 404)
            self.remove(resource, name)
            return {}
        if path.endswith("/status") and name not in there:
            raise ApiError("not there", 404)
        part = {"status": document["status"]} if path.endswith("/status") else dict(document)
        self.put(resource, {**there.get(name, {}), **part})
        return there[name]

    def objects(self, resource: Resource) -> dict[str, Document]:
        """Return the objects of a kind, by key."""
        return self._objects.get(resource.paths[0], {})

    async def watch(self, path: str, params: Mapping[str, str]) -> AsyncIterator[dict[str, object]]:
        self.asked.append(("watch", path, dict(params)))
        self.trouble("watch", path)
        last, begun = int(params["resourceVersion"]), self.version
        if last < self.forgotten:
            raise ResourceExpired
        yield {}
        while True:
            news = self._news
            for version, kind, told in [each for each in self._events if each[0] > last]:
                last = version
                if kind == "END" and version > begun:
                    return
                if told["path"] == WATCHED[path].paths[0]:
                    self.trouble("event", path)
                    yield answered({"type": kind, "object": told["object"]})
            await news.wait()


def _version(document: Mapping[str, object]) -> object:
    metadata = document.get("metadata")
    return metadata.get("resourceVersion") if isinstance(metadata, dict) else None
