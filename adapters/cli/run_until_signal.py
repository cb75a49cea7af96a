"""Runs a coroutine until its end, SIGTERM or SIGINT; used by the commands controller, webhook and record.

Input: a coroutine. Output: none; a signal ends the run without an error. Raises the first ``NodewallError`` of the
exception group that ``asyncio.TaskGroup`` raises.
"""

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress

from engine.errors import NodewallError


def run_until_signal(work: Coroutine[None, None, None]) -> None:
    """Run ``work`` until it ends, or until a signal cancels it.

    Raises:
        NodewallError: the first error in the exception group of the work.
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
    """Return the first error in nested exception groups."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
