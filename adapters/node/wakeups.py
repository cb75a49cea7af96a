"""Clock of the agent, and its waits for work: until a signal, changed rules, a written log, or a timeout.

Input: file descriptors that become readable when the rules or the log changed, and the seconds to wait. Output: the
reasons that ended the wait, as :class:`Wake` values. Sources: signal(7), inotify(7), netlink(7), select(2).
"""

import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from engine.reconcile.log_interfaces import LogWatch


class Wake(Enum):
    """Reason why a wait ended early."""

    STOP = auto()
    """SIGTERM or SIGINT arrived."""
    RULES = auto()
    """Rules may have changed."""
    LOG = auto()
    """The log was written."""


Wait = Callable[[float], frozenset[Wake]]
"""Waits for at most the given seconds; returns the reasons that ended the wait, none after the full time."""


class Wakeups(Protocol):
    """Clock of an agent, and its waits for work."""

    @property
    def wake_reasons(self) -> frozenset[Wake]:
        """Reasons that can end a wait; the agent polls for every other change."""
        ...

    def now(self) -> float:
        """Return the monotonic time in seconds."""
        ...

    def opened(self) -> AbstractContextManager[Wait]:
        """Return a context in which signals end a wait instead of the process."""
        ...


@dataclass(frozen=True, slots=True)
class SystemWakeups:
    """Wakeups by file descriptors of the kernel.

    ``rules`` is a descriptor that becomes readable after rules changed; ``log`` watches the file of the log. The agent
    polls for changes of a source that is None.
    """

    rules: int | None = None
    log: LogWatch | None = None

    @property
    def wake_reasons(self) -> frozenset[Wake]:
        """Reasons that can end a wait."""
        return frozenset({Wake.STOP, *self._descriptors()})

    def now(self) -> float:
        """Return the system's monotonic time in seconds."""
        return time.monotonic()

    @contextmanager
    def opened(self) -> Iterator[Wait]:
        """Yield a wait function that SIGTERM and SIGINT end.

        Call this in the main thread, because Python accepts signal handlers only there.
        """
        with _signalled() as (signals, came), selectors.DefaultSelector() as selector:
            for wake, descriptor in {Wake.STOP: signals, **self._descriptors()}.items():
                selector.register(descriptor, selectors.EVENT_READ, wake)

            def wait(seconds: float) -> frozenset[Wake]:
                ready = {key.data for key, _ in selector.select(seconds)}
                return frozenset(wake for wake in ready if self._is_meant(wake, signals, came))

            yield wait

    def _descriptors(self) -> dict[Wake, int]:
        found = {Wake.RULES: self.rules, Wake.LOG: self.log.descriptor if self.log else None}
        return {wake: descriptor for wake, descriptor in found.items() if descriptor is not None}

    def _is_meant(self, wake: Wake, signals: int, came: list[int]) -> bool:
        """Return True if a readable descriptor means work; other signals and other files make it readable too."""
        if wake is Wake.STOP:
            os.read(signals, 1 << 12)
            return bool(came)
        return wake is not Wake.LOG or self.log is None or self.log.told()


@contextmanager
def _signalled() -> Iterator[tuple[int, list[int]]]:
    """Catch SIGTERM and SIGINT in the block; yield a descriptor that they make readable, and the list of those caught.

    Any other signal with a Python handler makes the descriptor readable too.
    """
    came: list[int] = []
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = {each: signal.signal(each, lambda number, _: came.append(number)) for each in _ENDING}
    old = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader, came
    finally:
        signal.set_wakeup_fd(old)
        for each, handler in before.items():
            signal.signal(each, handler)
        for descriptor in (reader, writer):
            os.close(descriptor)


_ENDING = (signal.SIGTERM, signal.SIGINT)
