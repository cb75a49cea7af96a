"""A recorder beside other work of the process: in a thread of its own, which ends with the context."""

import asyncio
import threading
from types import TracebackType
from typing import Self

import structlog

from adapters.kubernetes.recorder import Recorder
from engine.errors import NodewallError

_LOG = structlog.get_logger(__name__)

_AGAIN = 5.0
"""Seconds until a recorder that failed begins anew."""

_END = 10.0
"""Seconds that one is waited for as it ends."""


class Background:
    """Runs a recorder while the context is entered; whatever it comes upon, the rest of the process goes on."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._settled = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join(_END)

    def settle(self) -> None:
        """Wait until the log has been as the cluster is."""
        self._settled.wait()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._record())
            except asyncio.CancelledError:
                _LOG.debug("recorder ended")

    async def _record(self) -> None:
        self._task = asyncio.current_task()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell())
            while True:
                try:
                    await self._recorder.run()
                except* NodewallError as errors:
                    _LOG.error("not on record", error=str(errors.exceptions[0]))
                await asyncio.sleep(_AGAIN)

    async def _tell(self) -> None:
        await self._recorder.settled()
        self._settled.set()
