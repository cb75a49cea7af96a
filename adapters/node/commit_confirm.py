"""Timed apply: rolls back automatically unless the operator confirms the apply in time.

Input: a timeout in seconds and a network namespace. A separate process
(:mod:`adapters.application.commit_confirm_watchdog`) performs the rollback, so that it also happens if nodewall dies.
While an apply awaits confirmation, a file exists beside the lock file of the Node. Only one process can remove or
rename this file, and that process decides: ``confirm`` removes it, ``rollback`` renames it, and the watchdog removes it
after the timeout.

Raises ``Refused`` for a second timed apply while one is pending, and for ``confirm`` or ``rollback`` while none is.
Raises ``KernelRefused`` if the watchdog or its rollback fails.
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
_ANSWER = 60.0  # seconds to wait for a requested rollback


@dataclass(frozen=True, slots=True)
class PendingConfirmation:
    """Files of a pending apply in a network namespace: pending, rollback requested, rollback finished."""

    netns: str

    @property
    def pending(self) -> Path:
        """File that exists while an apply awaits confirmation; it holds the process id of the watchdog."""
        return FOLDER / ("unconfirmed" + (f"-{self.netns}" if self.netns else ""))

    @property
    def asked(self) -> Path:
        """File that exists once a rollback is requested."""
        return self.pending.with_name(f"{self.pending.name}.rollback")

    @property
    def done(self) -> Path:
        """File that exists once a requested rollback has ended; it holds the error, or nothing after success."""
        return self.pending.with_name(f"{self.pending.name}.done")

    @property
    def alive(self) -> bool:
        """True if an apply awaits confirmation and its watchdog still runs."""
        with suppress(OSError, ValueError):
            number = int(self.pending.read_text(encoding="ascii"))
            return MODULE in command_line(number)
        return False


@contextmanager
def confirmed_within(seconds: float | None, netns: str, backend: str, record: tuple[str, ...] = ()) -> Iterator[None]:
    """Roll back the changes of the block after a timeout, unless the block fails or the apply is confirmed.

    Args:
        seconds: the timeout, from the end of the block; None disables the rollback.
        netns: the network namespace, empty for this process's own.
        backend: the name of the backend that the block uses.
        record: path of the event log, Node and sequence of the applied state, to record the outcome; or empty.

    Raises:
        Refused: another apply awaits confirmation.
        KernelRefused: the watchdog could not start.
    """
    if seconds is None:
        yield
        return
    check_no_pending(netns)
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
        _tell(process, "")  # the timeout starts when its stdin ends, also if this process dies
        process.returncode = 0  # it outlives this process, so nothing waits for it


def _watchdog(netns: str, backend: str, seconds: str, *record: str) -> "subprocess.Popen[str]":
    """Start the watchdog; the path of its event log is made absolute."""
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


def check_no_pending(netns: str) -> None:
    """Check that no apply awaits confirmation.

    Raises:
        Refused: an apply awaits confirmation.
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
    """Confirm the pending apply, so that it stays.

    Raises:
        Refused: no apply awaits confirmation.
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
    """Roll back the pending apply now, and wait for the result for at most ``seconds``.

    Raises:
        Refused: no apply awaits confirmation.
        KernelRefused: the rollback failed, or took longer.
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


def write_pending_file(waiting: PendingConfirmation) -> None:
    """Create the pending file with the id of this process, the watchdog."""
    make_folder()
    with waiting.pending.open("x", encoding="ascii") as file:
        file.write(str(os.getpid()))
