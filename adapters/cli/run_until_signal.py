"""Runs what goes on until SIGTERM or SIGINT comes."""

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress

from engine.errors import NodewallError


def until_told(work: Coroutine[None, None, None]) -> None:
    """Do work until it ends, or is cancelled by a signal.

    Raises:
        NodewallError: the first that parts of the work came upon.
    """

    async def run() -> None:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            if task is not None:
                loop.add_signal_handler(each, task.cancel)
        await work

    try:
        with suppress(asyncio.CancelledError):
            asyncio.run(run())
    except* NodewallError as group:
        raise _first(group) from None


def _first(error: BaseException) -> BaseException:
    """Return the first error that is no group of others."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
