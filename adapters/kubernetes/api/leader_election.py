"""Leader election among several controllers, with a Lease object of the API server.

Input: the name of the Lease, the identity of this candidate, and the work of the leader as a coroutine. Output: the
coroutine runs only while this candidate holds the Lease. A Lease counts as expired if it does not change for its
duration, by the local monotonic clock. The times in a Lease come from other machines and are not trusted.

Errors of the API server are retried. Source: https://kubernetes.io/docs/concepts/architecture/leases/.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from random import Random

import structlog

from adapters.kubernetes.api.api_client import ApiError, KubernetesApi, WriteVerb
from adapters.kubernetes.api.resources import KubernetesObject, mapping, text_of
from engine.errors import NodewallError
from engine.events import timestamp
from engine.reconcile.interfaces import Clock

_LOG = structlog.get_logger(__name__)

_VERSION = "coordination.k8s.io/v1"

DURATION, DEADLINE, RETRY = 15, 10.0, 2.0
"""Seconds: duration of the lease, time without renewal after which the leader gives up, and time between attempts."""


@dataclass(slots=True)
class Lease:
    """Lease in a namespace; ``identity`` must be unique among the candidates."""

    api: KubernetesApi
    namespace: str
    name: str
    identity: str
    clock: Clock
    dice: Random
    _seen: KubernetesObject | None = None
    _seen_at: float = 0.0

    async def lead(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Acquire the lease, run ``work`` while holding it, and release it; repeat until cancelled."""
        while True:
            await self._acquired()
            _LOG.info("leading", lease=self.name, identity=self.identity)
            leading = asyncio.ensure_future(work())
            keeping = asyncio.ensure_future(self._kept())
            try:
                await asyncio.wait((leading, keeping), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in (leading, keeping):
                    each.cancel()
                with suppress(asyncio.CancelledError):
                    await asyncio.gather(leading, keeping)
                await self._released()
            _LOG.warning("no longer leading", lease=self.name, identity=self.identity)

    async def _acquired(self) -> None:
        said = ""
        while True:
            try:
                if await self._tried():
                    return
            except NodewallError as error:
                if str(error) != said:
                    said = str(error)
                    _LOG.warning("lease not asked for", error=said)
            await asyncio.sleep(RETRY * self.dice.uniform(0.8, 1.2))

    async def _kept(self) -> None:
        """Renew the lease; return when another candidate holds it, or when renewals failed for ``DEADLINE`` seconds."""
        last = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() - last < DEADLINE:
            await asyncio.sleep(RETRY)
            with suppress(NodewallError, TimeoutError):
                async with asyncio.timeout(DEADLINE - RETRY):
                    if not await self._tried():
                        return
                last = asyncio.get_running_loop().time()

    async def _tried(self) -> bool:
        """Acquire or renew the lease, and return True on success."""
        found = await self._read()
        now = asyncio.get_running_loop().time()
        if found is None:
            return await self._written(WriteVerb.CREATE, self._path(), None)
        if found != self._seen:
            self._seen, self._seen_at = found, now
        spec = mapping(found.get("spec"))
        holder, duration = text_of(spec.get("holderIdentity")), spec.get("leaseDurationSeconds")
        lasts = duration if isinstance(duration, int) else DURATION
        if holder not in {"", self.identity} and now - self._seen_at < lasts:
            return False
        return await self._written(WriteVerb.UPDATE, f"{self._path()}/{self.name}", found)

    async def _released(self) -> None:
        """Release the lease, so that another candidate need not wait until it expires; ignore errors."""
        with suppress(NodewallError, TimeoutError):
            async with asyncio.timeout(RETRY):
                found = await self._read()
                if found and mapping(found.get("spec")).get("holderIdentity") == self.identity:
                    document = self._document(found, "")
                    await self.api.write(WriteVerb.UPDATE, f"{self._path()}/{self.name}", document)

    async def _read(self) -> dict[str, object] | None:
        try:
            return await self.api.get(f"{self._path()}/{self.name}", {}, "get")
        except ApiError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            return None

    async def _written(self, how: WriteVerb, path: str, before: KubernetesObject | None) -> bool:
        try:
            await self.api.write(how, path, self._document(before, self.identity))
        except ApiError as error:
            if error.code != HTTPStatus.CONFLICT:
                raise
            return False  # another candidate was faster
        return True

    def _document(self, before: KubernetesObject | None, holder: str) -> KubernetesObject:
        """Return the lease with a holder; the resource version of ``before`` prevents a write over a newer lease."""
        now = timestamp(self.clock.now())
        spec = dict(mapping((before or {}).get("spec")))
        if spec.get("holderIdentity") != holder:
            changes = spec.get("leaseTransitions")
            spec |= {"acquireTime": now, "leaseTransitions": changes + 1 if isinstance(changes, int) else 0}
        spec |= {"holderIdentity": holder, "leaseDurationSeconds": DURATION, "renewTime": now}
        metadata = (before or {}).get("metadata") or {"name": self.name, "namespace": self.namespace}
        return {"apiVersion": _VERSION, "kind": "Lease", "metadata": metadata, "spec": spec}

    def _path(self) -> str:
        return f"/apis/{_VERSION}/namespaces/{self.namespace}/leases"
