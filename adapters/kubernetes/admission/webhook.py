"""Validating admission webhook: an HTTPS server that checks policies, tiers and groups for the API server.

Input: AdmissionReview requests, and the objects that the webhook watches in the cluster. Output: AdmissionReview
answers. Before the webhook refuses an object, it lists the cluster again, because the watch may not have delivered a
needed object yet.

Raises ``Refused`` if the certificate or key is not valid, or if the address is not free.
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import structlog
from aiohttp import web

from adapters.kubernetes.admission.admission_review import answer, faults_of_request, request_in
from adapters.kubernetes.api.api_client import KubernetesApi
from adapters.kubernetes.api.list_watch import Watcher, listed
from adapters.kubernetes.api.object_cache import ObjectCache
from adapters.kubernetes.api.resources import KubernetesObject, text_of
from adapters.kubernetes.cluster_view import DECLARED
from adapters.telemetry.http import serving
from engine.bounded_json import JsonRefused, parse_objects
from engine.errors import Fault, NodewallError, Refused
from engine.state.fold import ClusterState, fold_bodies

_LOG = structlog.get_logger(__name__)

_LARGEST = 8 << 20
"""Largest review in bytes: an object before and after the change, each of at most 1.5 MB in etcd."""

_ANEW = 3.0
"""Seconds for listing objects again; the API server waits 5 seconds for the webhook."""

_LOOK = 2.0
"""Seconds between two checks for a new certificate."""


@dataclass(slots=True)
class Webhook:
    """Checks objects against those that the API server has."""

    api: KubernetesApi
    dice: Random
    _mirror: ObjectCache = field(default_factory=lambda: ObjectCache(DECLARED))
    _state: ClusterState = field(default_factory=ClusterState)

    def readiness(self) -> str:
        """Return the reason why objects cannot be checked yet, or an empty string."""
        return "" if self._mirror.complete else "policies, tiers and groups are not known yet"

    async def run(self) -> None:
        """Watch the declared kinds until cancelled."""
        news = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for resource in DECLARED:
                tasks.create_task(Watcher(self.api, resource, self._mirror, news.set, self.dice).run())
            while True:
                await news.wait()
                news.clear()
                if self._mirror.complete:
                    self._state = fold_bodies(self._mirror.take(self._state), self._state)

    async def reviewed(self, review: object) -> KubernetesObject | None:
        """Return the answer to an AdmissionReview; None if the document is not one."""
        request = request_in(review)
        if request is None:
            return None
        faults: Sequence[Fault] = faults_of_request(request, self._state)
        if not faults:
            return answer(request, ())
        try:
            async with asyncio.timeout(_ANEW):
                now = await self._present()
        except (NodewallError, TimeoutError) as error:
            _LOG.warning("judged by what was known before", error=str(error))
        else:
            faults = faults_of_request(request, now)
        if faults:
            _LOG.info("refused", name=text_of(request.get("name")), faults=[str(fault) for fault in faults])
        return answer(request, faults)

    async def _present(self) -> ClusterState:
        mirror = ObjectCache(DECLARED)
        for resource in DECLARED:
            mirror.list(resource, (await listed(self.api, resource, resource.paths[0], mirror.read))[0])
        return fold_bodies(mirror.take(ClusterState()))


@dataclass(slots=True)
class WebhookServer:
    """HTTPS server of a webhook; it loads the certificate and key again when their files change."""

    webhook: Webhook
    address: str
    port: int
    certificate: str
    key: str

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            Refused: the certificate or key is not valid, or the address is not free.
        """
        tls = _context(self.certificate, self.key)
        app = web.Application(client_max_size=_LARGEST)
        app.router.add_post("/validate", self._validate)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.webhook.run())
                tasks.create_task(self._renewed(tls))
                tasks.create_task(serving(runner, self.address, self.port, "--serve", tls))
        finally:
            await runner.cleanup()

    async def _validate(self, request: web.Request) -> web.Response:
        try:
            review = parse_objects(await request.read(), _LARGEST)
        except JsonRefused:
            review = None
        found = await self.webhook.reviewed(review)
        if found is None:
            return web.Response(status=400, text="found no AdmissionReview with a request\n")
        return web.json_response(found)

    async def _renewed(self, tls: ssl.SSLContext) -> None:
        """Load a new certificate and key as soon as they match; keep the old ones until then."""
        known, said = self._stamps(), ""
        while True:
            await asyncio.sleep(_LOOK)
            if (now := self._stamps()) == known:
                continue
            try:
                _context(self.certificate, self.key)
                tls.load_cert_chain(self.certificate, self.key)
            except (Refused, OSError) as error:  # ssl.SSLError is an OSError
                if str(error) != said:
                    said = str(error)
                    _LOG.warning("new certificate not taken", error=said)
                continue
            known, said = now, ""
            _LOG.info("new certificate taken")

    def _stamps(self) -> tuple[object, ...]:
        """Return inode, time and size of both files, to detect new ones; the symbolic links of Secrets are followed."""
        found: list[object] = []
        for path in (self.certificate, self.key):
            try:
                status = Path(path).stat()
            except OSError:
                found.append(None)
            else:
                found.append((status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(found)


def _context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is an OSError
        problem = f"{certificate} and {key}: {error.strerror or error}"
        raise Refused((Fault("--tls-cert", problem, "a certificate in PEM, and its key"),)) from None
    return context
