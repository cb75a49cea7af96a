"""Client of a Kubernetes API server, with the credentials that kubectl and Pods use.

Input: a kubeconfig or a service account; then paths, parameters and documents of requests. Output: JSON documents, and
the events of a watch. The library lightkube reads kubeconfigs and service accounts, renews tokens and runs credential
plugins. :mod:`adapters.kubernetes.api.list_watch` replaces its watch, which has no bookmarks and misses deletions.

Raises ``ApiError`` with the HTTP status, ``ResourceExpired`` for a resource version that is too old, and ``Refused`` if
there are no credentials.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

import httpx2
import msgspec
import yaml
from lightkube.config.client_adapter import AsyncClient, ConnectionParams
from lightkube.config.kubeconfig import KubeConfig
from lightkube.config.models import NameValue, UserExec
from lightkube.core.exceptions import ConfigError

from adapters.kubernetes.api.resources import CRD_GROUP, OWN_GROUP, mapping, text_of
from adapters.system.process import ROOT_FOLDER, program_environment, program_path
from engine.bounded_json import JsonRefused, parse_objects
from engine.errors import Fault, NodewallError, Refused, safe_text

FIELD_MANAGER = "nodewall"
"""Field manager of server-side apply."""

_CONNECT = 10.0
"""Seconds to connect; also added to the requested duration of a watch, to get its read timeout."""

_ANSWER = 30.0
"""Seconds until the response to a watch must begin."""

_LARGEST_ANSWER = 64 << 20
"""Largest response in bytes; a list page that is larger is requested again as smaller pages."""

_LARGEST_EVENT = 8 << 20
"""Largest watch event in bytes. etcd limits an object to 1.5 MiB, and its JSON form is larger."""


@dataclass(eq=False)
class ApiError(NodewallError):
    """Failed request to the API server.

    ``what`` is the message, ``code`` the HTTP status, or 0 if the server was not reached.
    """

    what: str
    code: int = 0
    wait: float | None = None
    """Seconds that the server asks the client to wait, from ``Retry-After``."""

    @property
    def answered(self) -> bool:
        """True if the server was reached."""
        return self.code != 0

    def __str__(self) -> str:
        """Return the message."""
        return self.what


@dataclass(eq=False)
class AnswerTooLarge(ApiError):
    """Response with more bytes than the client reads."""


class ResourceExpired(NodewallError):
    """Resource version or continue token that is too old; the client must list again."""


class WriteVerb(Enum):
    """Kind of write request: its RBAC verb, HTTP method and content type."""

    CREATE = ("create", "POST", "application/json")
    UPDATE = ("update", "PUT", "application/json")
    PATCH = ("patch", "PATCH", "application/merge-patch+json")
    APPLY = ("patch", "PATCH", "application/apply-patch+yaml")
    DELETE = ("delete", "DELETE", "application/json")


class KubernetesApi(Protocol):
    """Connection to an API server; tests implement it by a fake."""

    async def get(self, path: str, params: Mapping[str, str], verb: str) -> dict[str, object]:
        """Return the response to a GET request; ``verb`` is the RBAC verb for error messages.

        Raises:
            ResourceExpired: the continue token is too old.
            ApiError: the server was not reached, or returned an error.
        """
        ...

    def watch(self, path: str, params: Mapping[str, str]) -> AsyncIterator[dict[str, object]]:
        """Yield the events of a watch until the server ends it; the first event is empty and marks the start.

        Raises:
            ResourceExpired: the resource version is too old.
            ApiError: the server was not reached, or returned an error.
        """
        ...

    async def write(self, how: WriteVerb, path: str, document: Mapping[str, object]) -> dict[str, object]:
        """Create, change or delete an object, and return the response.

        Server-side apply takes the ownership of the applied fields from every other field manager.

        Raises:
            ResourceExpired: the server answered with status 410.
            ApiError: the server was not reached, or returned an error.
        """
        ...


def connect(kubeconfig: str | None, context: str | None) -> "LightkubeApi":
    """Return a client for a kubeconfig and one of its contexts.

    Without a kubeconfig, the environment or the Pod's service account gives the credentials.

    Raises:
        Refused: there are no credentials.
    """
    try:
        found = KubeConfig.from_file(kubeconfig) if kubeconfig else KubeConfig.from_env()
        config = found.get(context)
        if config and config.user and config.user.exec:
            _pin(config.user.exec, config.fname.parent if config.fname else Path(ROOT_FOLDER))
        client = AsyncClient(config, ConnectionParams())  # type: ignore[arg-type] # get raised if there is no context
        return LightkubeApi(client, config.cluster.server)  # type: ignore[union-attr] # as above
    except (ConfigError, OSError, KeyError, TypeError, ValueError, msgspec.MsgspecError, yaml.YAMLError) as error:
        raise _no_credentials(str(error)) from None
    except RecursionError:  # lightkube parses kubeconfigs without a depth limit
        raise _no_credentials("nested too deep") from None


def _pin(plugin: UserExec, folder: Path) -> None:
    """Give a credential plugin an absolute path, so that nothing from the current folder runs.

    As with kubectl, a path is relative to the kubeconfig's folder. A plain name is looked up in the absolute folders of
    PATH, which the plugin gets too.

    Raises:
        ToolMissing: the plugin is not installed.
    """
    path = plugin.command
    plugin.command = str((folder / path).absolute()) if os.sep in path else program_path(path)
    plugin.env = [*(plugin.env or ()), NameValue("PATH", program_environment()["PATH"])]


def _no_credentials(why: str) -> Refused:
    problem = f"no credentials for a cluster: {safe_text(why)}"
    return Refused((Fault("--kubeconfig", problem, "a kubeconfig, or a Pod's service account"),))


@dataclass(frozen=True, slots=True)
class LightkubeApi:
    """Client of a real API server."""

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
        body = json.dumps(document).encode()  # ASCII, because foreign text may hold lone surrogates, which UTF-8 lacks
        with self._told():
            answer, content = await self._asked(method, path, params, body, kind)
        if answer.is_error:
            raise _fault(answer, content, verb, path)
        return _document(content)

    async def _asked(
        self, method: str, path: str, params: Mapping[str, str], body: bytes | None = None, kind: str = ""
    ) -> tuple[httpx2.Response, bytes]:
        """Send a request, and return the response and its content."""
        headers = {"Content-Type": kind} if kind else {}
        async with self._client.stream(method, path, params=dict(params), content=body, headers=headers) as answer:
            return answer, await _content_of(answer)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Convert transport errors into `ApiError`."""
        try:
            yield
        except (httpx2.HTTPError, OSError, ConfigError) as error:  # TimeoutError is an OSError
            words = str(error) or type(error).__name__
            raise ApiError(f"{self.server}: not reached: {words}") from None
        except (ValueError, KeyError, TypeError) as error:  # lightkube reads the output of a plugin without a check
            raise ApiError(f"{self.server}: no credentials from the plugin: {type(error).__name__}") from None


async def _content_of(answer: httpx2.Response) -> bytes:
    """Return the content of a response; raise `AnswerTooLarge` beyond the limit."""
    content = bytearray()
    async for part in answer.aiter_bytes():
        content += part
        if len(content) > _LARGEST_ANSWER:
            raise AnswerTooLarge(f"found an answer of more than {_LARGEST_ANSWER:,} bytes")
    return bytes(content)


async def _lines_of(answer: httpx2.Response) -> AsyncIterator[bytes]:
    """Yield the lines of a response as they arrive; an unterminated last line counts too."""
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
    """Return the error for the ERROR event that ended a watch."""
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
    """Return API group and resource of a path; the core group is empty, and a subresource follows a slash."""
    words = path.strip("/").split("/")
    group, rest = (words[1], words[3:]) if words[0] == "apis" else ("", words[2:])
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    return group, "/".join([*rest[:1], *rest[2:3]])
