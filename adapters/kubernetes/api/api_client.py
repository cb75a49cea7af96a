"""Client of an API server, with the credentials that kubectl and Pods use.

Input: a kubeconfig or a service account. Output: plain JSON documents. Raises `ApiError` with the HTTP status.
lightkube reads kubeconfigs and service accounts, renews rotated tokens and runs credential plugins. Its watch lacks
bookmarks and does not report deletions after a new list, so :mod:`adapters.kubernetes.api.list_watch` replaces it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Protocol

import httpx2
import msgspec
import yaml
from lightkube.config.client_adapter import AsyncClient, ConnectionParams
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.exceptions import ConfigError

from adapters.kubernetes.api.resources import CRD_GROUP, OWN_GROUP, mapping, text_of
from engine.bounded_json import JsonRefused, parse_objects
from engine.errors import Fault, NodewallError, Refused, safe_text

FIELD_MANAGER = "nodewall"
"""Whose the fields are that are applied server-side."""

_CONNECT = 10.0
"""Seconds for a connection, and beyond the time that was asked for until a watch is given up that says nothing."""

_ANSWER = 30.0
"""Seconds until the answer to a watch has begun."""

_LARGEST_ANSWER = 64 << 20
"""Bytes of an answer; a page of a list that has more is asked for again as smaller ones."""

_LARGEST_EVENT = 8 << 20
"""Bytes of one event of a watch. etcd takes objects of 1.5 MiB, which are larger as JSON."""


@dataclass(eq=False)
class ApiError(NodewallError):
    """The API server did not do what was asked; ``code`` is its HTTP status, 0 where it was not reached."""

    what: str
    code: int = 0
    wait: float | None = None
    """Seconds that it asks to wait."""

    @property
    def answered(self) -> bool:
        """Whether the server was reached."""
        return self.code != 0

    def __str__(self) -> str:
        """Say what was asked, and the answer."""
        return self.what


@dataclass(eq=False)
class AnswerTooLarge(ApiError):
    """An answer has more bytes than are read."""


class ResourceExpired(NodewallError):
    """What was asked for is too old, and has to be listed anew."""


class WriteVerb(Enum):
    """A way to change an object: the right that it takes, its HTTP method, and the kind of document it is given."""

    CREATE = ("create", "POST", "application/json")
    UPDATE = ("update", "PUT", "application/json")
    PATCH = ("patch", "PATCH", "application/merge-patch+json")
    APPLY = ("patch", "PATCH", "application/apply-patch+yaml")
    DELETE = ("delete", "DELETE", "application/json")


class KubernetesApi(Protocol):
    """Asks an API server; its fake in tests answers what it is told to."""

    async def get(self, path: str, params: Mapping[str, str], verb: str) -> dict[str, object]:
        """Return an answer.

        Raises:
            Gone: what it continues is too old.
            ApiFault: the server was not reached, or did not do so.
        """
        ...

    def watch(self, path: str, params: Mapping[str, str]) -> AsyncIterator[dict[str, object]]:
        """Yield the events of a watch until the server ends it, first an empty one as it begins; raises as `get`."""
        ...

    async def write(self, how: WriteVerb, path: str, document: Mapping[str, object]) -> dict[str, object]:
        """Change an object, or make it in a collection, and return the answer; raises as `get`.

        What is applied server-side is ours alone from then on, whoever had it before.
        """
        ...


def connect(kubeconfig: str | None, context: str | None) -> "LightkubeApi":
    """Return a connection by a kubeconfig and a context of it, or as the environment and the Pod's account say.

    Raises:
        Refused: there are no credentials.
    """
    try:
        found = KubeConfig.from_file(kubeconfig) if kubeconfig else KubeConfig.from_env()
        config = found.get(context)
        client = AsyncClient(config, ConnectionParams())  # type: ignore[arg-type] # without a context it has raised
        return LightkubeApi(client, config.cluster.server)  # type: ignore[union-attr] # as above
    except (ConfigError, OSError, KeyError, TypeError, ValueError, msgspec.MsgspecError, yaml.YAMLError) as error:
        raise _no_credentials(str(error)) from None
    except RecursionError:  # lightkube reads kubeconfigs itself, without a limit
        raise _no_credentials("nested too deep") from None


def _no_credentials(why: str) -> Refused:
    problem = f"no credentials for a cluster: {safe_text(why)}"
    return Refused((Fault("--kubeconfig", problem, "a kubeconfig, or a Pod's service account"),))


@dataclass(frozen=True, slots=True)
class LightkubeApi:
    """A real API server."""

    _client: httpx2.AsyncClient
    server: str

    async def get(self, path: str, params: Mapping[str, str], verb: str = "list") -> dict[str, object]:
        with self._told():
            answer, content = await self._asked("GET", path, params)
        if answer.is_error:
            raise _fault(answer, content, verb, path)
        return _document(content)

    async def watch(self, path: str, params: Mapping[str, str]) -> AsyncIterator[dict[str, object]]:
        asked = {**params, "watch": "true", "allowWatchBookmarks": "true"}
        silent = httpx2.Timeout(_CONNECT, read=float(params["timeoutSeconds"]) + _CONNECT)
        with self._told():
            async with AsyncExitStack() as open_things:
                stream = self._client.stream("GET", path, params=asked, timeout=silent)
                async with asyncio.timeout(_ANSWER):
                    answer = await open_things.enter_async_context(stream)
                if answer.is_error:
                    raise _fault(answer, await _content_of(answer), "watch", path)
                yield {}
                async for line in _lines_of(answer):
                    event = _document(line)
                    if event.get("type") == "ERROR":
                        raise _ended(event.get("object"), path)
                    yield event

    async def write(self, how: WriteVerb, path: str, document: Mapping[str, object]) -> dict[str, object]:
        verb, method, kind = how.value
        params = {"fieldManager": FIELD_MANAGER, "force": "true"} if how is WriteVerb.APPLY else {}
        body = json.dumps(document).encode()  # ASCII, as a text of somebody else's may hold what UTF-8 cannot
        with self._told():
            answer, content = await self._asked(method, path, params, body, kind)
        if answer.is_error:
            raise _fault(answer, content, verb, path)
        return _document(content)

    async def _asked(
        self, method: str, path: str, params: Mapping[str, str], body: bytes | None = None, kind: str = ""
    ) -> tuple[httpx2.Response, bytes]:
        """Return an answer and its content."""
        headers = {"Content-Type": kind} if kind else {}
        async with self._client.stream(method, path, params=dict(params), content=body, headers=headers) as answer:
            return answer, await _content_of(answer)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what goes wrong on the way into faults."""
        try:
            yield
        except (httpx2.HTTPError, OSError, ConfigError) as error:  # TimeoutError is an OSError
            words = str(error) or type(error).__name__
            raise ApiError(f"{self.server}: not reached: {words}") from None


async def _content_of(answer: httpx2.Response) -> bytes:
    """Return the content of an answer as it comes in, as far as it is not too large."""
    content = bytearray()
    async for part in answer.aiter_bytes():
        content += part
        if len(content) > _LARGEST_ANSWER:
            raise AnswerTooLarge(f"found an answer of more than {_LARGEST_ANSWER:,} bytes")
    return bytes(content)


async def _lines_of(answer: httpx2.Response) -> AsyncIterator[bytes]:
    """Yield the lines of an answer as they come in; what is left at its end counts as a line."""
    rest = bytearray()
    async for part in answer.aiter_bytes():
        *whole, last = part.split(b"\n")
        for line in whole:
            yield bytes(rest + line)
            rest.clear()
        rest += last
        if len(rest) > _LARGEST_EVENT:
            raise ApiError(f"found an event of more than {_LARGEST_EVENT:,} bytes", HTTPStatus.OK)
    if rest:
        yield bytes(rest)


def _document(text: bytes) -> dict[str, object]:
    try:
        found = parse_objects(text)
    except JsonRefused:
        found = None
    if not isinstance(found, dict):
        raise ApiError(f"found {safe_text(text[:40].decode(errors='replace'))} instead of a whole object")
    return found


def _ended(status: object, path: str) -> NodewallError:
    """Return why a watch ended."""
    found = mapping(status)
    code, words = found.get("code"), text_of(found.get("message")) or "no reason"
    known = code if isinstance(code, int) else HTTPStatus.OK
    return ResourceExpired() if code == HTTPStatus.GONE else ApiError(f"watch of {path} ended: {words}", known)


def _fault(answer: httpx2.Response, content: bytes, verb: str, path: str) -> NodewallError:
    code = answer.status_code
    group, plural = _resource_of(path)
    if code == HTTPStatus.GONE:
        return ResourceExpired()
    if code == HTTPStatus.FORBIDDEN:
        return ApiError(
            f"may not {verb} {plural}: grant verb {verb} on resource {plural} of API group {safe_text(group)}", code
        )
    if code == HTTPStatus.UNAUTHORIZED:
        return ApiError("the credentials were not accepted", code)
    if code == HTTPStatus.NOT_FOUND:
        problem = f"the API has no {path.removeprefix('/apis/')}"
        ours = group in {CRD_GROUP, OWN_GROUP}
        return ApiError(f"{problem}: apply what nodewall crds prints" if ours else problem, code)
    try:
        words = text_of(mapping(parse_objects(content)).get("message"))
    except JsonRefused:
        words = ""
    wait = answer.headers.get("Retry-After", "")
    text = f"{verb} of {path}: status {code}{': ' if words else ''}{words}"
    return ApiError(text, code, float(wait) if wait.isdecimal() else None)


def _resource_of(path: str) -> tuple[str, str]:
    """Return the API group of a path, empty for the core, and its resource, with the subresource after a slash."""
    words = path.strip("/").split("/")
    group, rest = (words[1], words[3:]) if words[0] == "apis" else ("", words[2:])
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    return group, "/".join([*rest[:1], *rest[2:3]])
