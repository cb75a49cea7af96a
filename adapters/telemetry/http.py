"""HTTP server of agents, controllers and webhooks for ``/healthz``, ``/readyz`` and ``/metrics``.

Input: an address, a TCP port, and a function per path. Output: text responses, with status 503 if a check fails. The
server is a coroutine that runs until it is cancelled. Raises ``Refused`` if the address is not free.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from adapters.telemetry.health import HealthCheck
from engine.errors import Fault, Refused

_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class TelemetryServer:
    """HTTP server for health and metrics; ``address`` may be ``*`` for all addresses.

    Every request calls the function for its path. Without ``metrics``, there is no ``/metrics``.
    """

    address: str
    port: int
    health: HealthCheck
    readiness: HealthCheck
    metrics: Callable[[], bytes] | None = None

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            Refused: the address is not free.
        """
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        if self.metrics is not None:
            app.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await serving(runner, self.address, self.port, "--listen")
        finally:
            await runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return _checked(self.health)

    async def _readyz(self, _: web.Request) -> web.Response:
        return _checked(self.readiness)

    async def _metrics(self, _: web.Request) -> web.Response:
        body = await asyncio.to_thread(self.metrics) if self.metrics else b""
        return web.Response(body=body, headers={"Content-Type": _TYPE})


async def serving(
    runner: web.AppRunner, address: str, port: int, option: str, tls: ssl.SSLContext | None = None
) -> None:
    """Serve at an address, or at all addresses if it is ``*``, until cancelled.

    Args:
        runner: the application, which is set up already.
        address: an IP address, a host name, or ``*``.
        port: a TCP port.
        option: the command-line option that gave the address; the error names it.
        tls: the context for HTTPS; None serves HTTP.

    Raises:
        Refused: the address is not free.
    """
    try:
        await web.TCPSite(runner, None if address == "*" else address, port, ssl_context=tls).start()
    except OSError as error:
        problem = f"{address}:{port}: {error.strerror}"
        raise Refused((Fault(option, problem, "an address and port that are free"),)) from None
    await asyncio.Event().wait()


def _checked(check: HealthCheck) -> web.Response:
    wrong = check()
    return web.Response(text=f"{wrong or 'ok'}\n", status=503 if wrong else 200)
