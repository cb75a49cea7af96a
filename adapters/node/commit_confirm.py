"""An apply that is taken back by itself unless it is confirmed in time, by a process that outlives this one.

What awaits confirmation is a file in the folder of :mod:`adapters.node.node_lock`, one for each network namespace.
Whoever takes it away decides: ``confirm`` removes it, ``rollback`` renames it, and the process
that waits claims it once time is up.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from adapters.node.node_lock import FOLDER, make_folder
from adapters.system.child_python import child_python
from adapters.system.process import command_line
from engine.errors import Fault, KernelRefused, Refused

MODULE = "adapters.application.commit_confirm_watchdog"
READY, CANCELLED = "ready\n", "cancelled\n"

_POLL = 0.05
_ANSWER = 60.0  # seconds in which a state is surely put back


@dataclass(frozen=True, slots=True)
class PendingConfirmation:
    """The files of a network namespace: what awaits confirmation, what shall be taken back now, and what came of it."""

    netns: str

    @property
    def pending(self) -> Path:
        """There while an apply awaits confirmation; it holds the number of the process that waits."""
        return FOLDER / ("unconfirmed" + (f"-{self.netns}" if self.netns else ""))

    @property
    def asked(self) -> Path:
        """There once it shall be taken back."""
        return self.pending.with_name(f"{self.pending.name}.rollback")

    @property
    def done(self) -> Path:
        """There once that was tried; it holds what went wrong, nothing if all is well."""
        return self.pending.with_name(f"{self.pending.name}.done")

    @property
    def alive(self) -> bool:
        """Whether an apply awaits confirmation and a process still waits for it."""
        with suppress(OSError, ValueError):
            number = int(self.pending.read_text(encoding="ascii"))
            return MODULE in command_line(number)
        return False


@contextmanager
def confirmed_within(seconds: float | None, netns: str, backend: str, record: tuple[str, ...] = ()) -> Iterator[None]:
    """Have what the block changes taken back after so many seconds, unless it fails or is confirmed; None is never.

    ``record`` is an event log, a node and the sequence of the state that was applied, where the outcome is recorded.

    Raises:
        Refused: another apply awaits confirmation.
        KernelRefused: the process that has to wait could not begin.
    """
    if seconds is None:
        yield
        return
    settled(netns)
    waiting = PendingConfirmation(netns)
    for stale in (waiting.pending, waiting.asked, waiting.done):
        stale.unlink(missing_ok=True)
    with _watchdog(netns, backend, repr(seconds), *record) as process:
        try:
            _begun(process)
            yield
        except BaseException:
            _tell(process, CANCELLED)
            process.wait()
            raise
        _tell(process, "")  # it begins to count as its input ends, as it would if this process died
        process.returncode = 0  # it lives on, and is nobody's to wait for


def _watchdog(netns: str, backend: str, seconds: str, *record: str) -> "subprocess.Popen[str]":
    """Start the process that waits; the log that it records in is named by an absolute path."""
    path = (str(Path(each).absolute()) for each in record[:1])
    child = child_python(MODULE, netns, backend, seconds, *path, *record[1:])
    return subprocess.Popen(
        child.words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=child.environment,
        cwd=child.folder,
        start_new_session=True,
    )


def settled(netns: str) -> None:
    """Make sure that nothing awaits confirmation.

    Raises:
        Refused: something does.
    """
    if PendingConfirmation(netns).alive:
        raise Refused((Fault("", "an apply awaits confirmation", "nodewall confirm or nodewall rollback first"),))


def _begun(process: "subprocess.Popen[str]") -> None:
    said = process.stdout.readline() if process.stdout else ""
    if said != READY:
        _tell(process, CANCELLED)
        rest = process.stdout.read() if process.stdout else ""
        raise KernelRefused(MODULE, process.wait(), (said + rest).strip())


def _tell(process: "subprocess.Popen[str]", words: str) -> None:
    if process.stdin is not None and not process.stdin.closed:
        with suppress(BrokenPipeError):
            process.stdin.write(words)
            process.stdin.close()


def confirm(netns: str) -> None:
    """Keep what was applied.

    Raises:
        Refused: nothing awaits confirmation.
    """
    waiting = PendingConfirmation(netns)
    alive = waiting.alive
    try:
        waiting.pending.unlink()
    except FileNotFoundError:
        alive = False
    if not alive:
        raise _nothing()


def rollback(netns: str, seconds: float = _ANSWER) -> None:
    """Take back what was applied, now.

    Raises:
        Refused: nothing awaits confirmation.
        KernelRefused: the previous state could not be put back.
    """
    waiting = PendingConfirmation(netns)
    if not waiting.alive:
        raise _nothing()
    try:
        waiting.pending.rename(waiting.asked)
    except FileNotFoundError:
        raise _nothing() from None
    end = time.monotonic() + seconds
    while not waiting.done.exists():
        if time.monotonic() > end:
            raise KernelRefused(MODULE, -1, f"no answer within {seconds:g} s")
        time.sleep(_POLL)
    problem = waiting.done.read_text(encoding="utf-8", errors="surrogateescape")
    waiting.done.unlink()
    if problem:
        raise KernelRefused(MODULE, 1, problem)


def _nothing() -> Refused:
    return Refused((Fault("", "nothing awaits confirmation", "an apply with --confirm-timeout before"),))


def register(waiting: PendingConfirmation) -> None:
    """Make it known that this process waits for a confirmation."""
    make_folder()
    with waiting.pending.open("x", encoding="ascii") as file:
        file.write(str(os.getpid()))
