"""Background thread that runs the agent's asyncio work, such as recording and reporting, beside its main loop.

Input: coroutine functions, and callables to run in that thread. The thread runs inside the ``with`` block of an
:class:`AsyncWorker`. A coroutine that raises ``NodewallError`` is logged and started again after 5 seconds. Any other
error ends the thread, which :attr:`AsyncWorker.alive` shows.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Self

import structlog

from engine.errors import NodewallError

_LOG = structlog.get_logger(__name__)

_AGAIN = 5.0
"""Seconds until failed work starts again."""

_END = 10.0
"""Seconds to wait for the thread at exit."""

AsyncWork = Callable[[], Coroutine[None, None, None]]


class AsyncWorker:
    """Thread that runs coroutines while the context is entered; a failure in one does not end the process."""

    def __init__(self) -> None:
        self._works: list[tuple[str, AsyncWork]] = []
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="background", daemon=True)

    def add(self, name: str, work: AsyncWork) -> None:
        """Add work before the context is entered; work that fails with a `NodewallError` starts again after a pause."""
        self._works.append((name, work))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.call(self._cancel)
        self._thread.join(_END)

    @property
    def alive(self) -> bool:
        """True while the thread runs."""
        return self._thread.is_alive()

    def call(self, what: Callable[[], object]) -> None:
        """Call a function in the worker's thread; do nothing if the worker has ended."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._all())
            except asyncio.CancelledError:
                _LOG.debug("background ended")

    async def _all(self) -> None:
        self._task = asyncio.current_task()
        async with asyncio.TaskGroup() as tasks:
            for name, work in self._works:
                tasks.create_task(_again_and_again(name, work))


async def _again_and_again(name: str, work: AsyncWork) -> None:
    while True:
        try:
            await work()
        except* NodewallError as errors:
            _LOG.error(f"{name} begins anew", error=str(errors.exceptions[0]))
        else:
            return
        await asyncio.sleep(_AGAIN)
