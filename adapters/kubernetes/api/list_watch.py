"""Lists all objects of one kind, then watches them for changes without end, and retries after failures.

Input: a client of the API server, a :class:`Resource` (the kind and its paths), and a listener. Output: calls of the
listener with all objects, then with each changed or deleted object. A watch continues from the last resource version.
If this version has expired, the objects are listed again.

The waits between retries grow and are randomised, so that clients do not retry all at once. Source:
https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from random import Random
from typing import Generic, Protocol, TypeVar

import structlog

from adapters.kubernetes.api.api_client import AnswerTooLarge, ApiError, KubernetesApi, ResourceExpired
from adapters.kubernetes.api.resources import KubernetesObject, Resource, key_in, mapping, text_of
from engine.errors import NodewallError

_LOG = structlog.get_logger(__name__)

_PAGE = 500
"""Objects per page of a list; a tenth of that after an answer that is too large."""

_WATCH = (240, 480)
"""Range of the duration in seconds that a watch requests; it is random, so that watches do not end together."""

_BRIEF = 1.0
"""Seconds after which a watch that ends counts as a success."""

_FIRST, _LONGEST, _AWAY = 0.2, 15.0, 3.0
"""Seconds before the first retry, at most, and at most during and shortly after an outage."""

_STARTING = 12
"""Refusals in a row after an outage that count as the server's start, about 25 s at most.

A kube-apiserver listens before it has its roles, resource definitions and caches, and refuses requests until then.
"""


@dataclass(slots=True)
class Backoff:
    """Waits between retries: each twice as long as the previous one, and randomised.

    They stay short while the server is away and while it starts, because changes are missed for that long.
    """

    dice: Random
    _next: float = field(default_factory=lambda: _FIRST)
    _starting: int = 0

    def seconds(self, *, answered: bool = True) -> float:
        """Return the wait after a failure, in seconds.

        Args:
            answered: False where nobody answered; True where the server did, with a refusal.
        """
        if answered and self._starting == _STARTING:
            self._next = _FIRST  # the first answer after an outage: the next may be a good one
        self._starting = max(0, self._starting - 1) if answered else _STARTING
        longest = _AWAY if self._starting else _LONGEST
        wait, self._next = min(longest, self._next), min(longest, 2 * self._next)
        return wait * self.dice.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start over after a success."""
        self._next, self._starting = _FIRST, 0


T = TypeVar("T")


class WatchListener(Protocol[T]):
    """Listener for the objects that a watch reports."""

    def read(self, resource: Resource, document: KubernetesObject) -> T:
        """Return the parts of an object that are needed.

        It is called for each object at once, so that a long list does not stay in memory.
        """
        ...

    def list(self, resource: Resource, found: Mapping[str, T]) -> None:
        """Take all objects of a kind, by key."""
        ...

    def hear(self, resource: Resource, key: str, found: T | None) -> None:
        """Take one object that is new or changed, or None for a deleted one."""
        ...


async def listed(
    api: KubernetesApi, resource: Resource, path: str, read: Callable[[Resource, KubernetesObject], T]
) -> tuple[dict[str, T], str]:
    """Return the parts of all objects by key, read page by page, and their resource version.

    Raises:
        ResourceExpired: the list took so long that the server forgot its version.
        ApiError: the server did not answer, or refused.
    """
    found: dict[str, T] = {}
    more, limit = "", _PAGE
    while True:
        try:
            page = await api.get(path, {"limit": str(limit), **({"continue": more} if more else {})}, "list")
        except AnswerTooLarge:
            if limit == 1:
                raise
            limit = max(1, limit // 10)
            continue
        some, metadata = page.get("items"), mapping(page.get("metadata"))
        for each in some if isinstance(some, list) else ():
            if isinstance(each, dict):
                found[key_in(resource, each)] = read(resource, each)
        more = text_of(metadata.get("continue"))
        if not more:
            return found, text_of(metadata.get("resourceVersion"))


@dataclass(slots=True)
class Watcher(Generic[T]):
    """Watch of one kind of object; it calls ``heard`` after each change."""

    api: KubernetesApi
    resource: Resource
    listener: WatchListener[T]
    heard: Callable[[], None]
    dice: Random
    deaf_since: float | None = None
    """Time of the loop's clock since which changes are missed; None while the watch works."""
    _path: str = ""
    _said: str = ""
    _backoff: Backoff = field(init=False)

    def __post_init__(self) -> None:
        self._path, self._backoff = self.resource.paths[0], Backoff(self.dice)

    async def run(self) -> None:
        """Watch until cancelled."""
        version, self.deaf_since = "", asyncio.get_running_loop().time()
        while True:
            try:
                version = await self._watch(version or await self._list())
            except ResourceExpired:
                version = ""
                _LOG.info("listed anew", kind=self.resource.kind)
                await asyncio.sleep(self._backoff.seconds())
            except ApiError as error:
                if error.code == HTTPStatus.NOT_FOUND:
                    version = ""
                    if self._took_older_version():
                        continue
                self._complain(error)
                await asyncio.sleep(max(error.wait or 0.0, self._backoff.seconds(answered=error.answered)))

    def _took_older_version(self) -> bool:
        """Switch to the next older API version; after the oldest, switch back to the newest and return False."""
        paths = self.resource.paths
        self._path = paths[(paths.index(self._path) + 1) % len(paths)]
        return self._path != paths[0]

    def _complain(self, error: NodewallError) -> None:
        """Log a failure once, until another one or a success follows."""
        if self.deaf_since is None:
            self.deaf_since = asyncio.get_running_loop().time()
        if str(error) != self._said:
            self._said = str(error)
            _LOG.warning("cluster not heard", kind=self.resource.kind, error=str(error))

    def _succeeded(self) -> None:
        self._backoff.reset()
        if self._said:
            self._said = ""
            _LOG.info("cluster heard again", kind=self.resource.kind)

    async def _list(self) -> str:
        """List all objects, pass them to the listener, and return their resource version."""
        found, version = await listed(self.api, self.resource, self._path, self.listener.read)
        self.listener.list(self.resource, found)
        self._succeeded()
        self.heard()
        return version

    async def _watch(self, version: str) -> str:
        """Watch the changes after a resource version until the server ends the watch; return the last version."""
        low, high = _WATCH
        asked = {"resourceVersion": version, "timeoutSeconds": str(self.dice.randint(low, high))}
        begun, fault = asyncio.get_running_loop().time(), ApiError("ended", HTTPStatus.OK)
        try:
            async for event in self.api.watch(self._path, asked):
                self._succeeded()
                self.deaf_since = None
                found = event.get("object")
                if not isinstance(found, dict):
                    continue  # as at the beginning, when the server has answered
                version = text_of(mapping(found.get("metadata")).get("resourceVersion")) or version
                if event.get("type") != "BOOKMARK":
                    gone = event.get("type") == "DELETED"
                    read = None if gone else self.listener.read(self.resource, found)
                    self.listener.hear(self.resource, key_in(self.resource, found), read)
                    self.heard()
        except ApiError as error:
            if error.code == HTTPStatus.NOT_FOUND:  # the server was upgraded and no longer has this API version
                raise
            self._complain(error)
            fault = error
        # A server that ends watches as soon as they begin is not to be asked all the time.
        if fault.wait or asyncio.get_running_loop().time() - begun < _BRIEF:
            await asyncio.sleep(max(fault.wait or 0.0, self._backoff.seconds(answered=fault.answered)))
        return version
