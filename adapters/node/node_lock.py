"""One nodewall at a time changes the rules of a network namespace; a second one refuses.

The lock is on a file of the namespace, by flock(2), and held by the programs that were started too: a tool that
outlives a nodewall which was killed finishes before another begins.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adapters.system.process import NetnsHold, command_line, namespace_path
from engine.errors import Fault, Refused, shown

FOLDER = Path("/run/nodewall")
"""Where processes of nodewall leave word for each other."""

_PATIENCE = 15.0  # seconds in which a tool that outlived its nodewall surely ends
_POLL = 0.02


def make_folder() -> None:
    """Have the folder there; raise OSError where it cannot be."""
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def node_lock(netns: str = "", patience: float = 0.0) -> Iterator[NetnsHold]:
    """Hold a namespace for changing its rules, which programs that are started for it are told.

    ``patience`` is for how many seconds another nodewall that holds it is waited for.

    Raises:
        Refused: another nodewall holds it, or the lock cannot be made.
        ToolMissing: there is no such namespace.
    """
    # By the number, so that a namespace is the same by whatever name or way it was entered.
    with pinned(netns) as number, _held(_lock_of(number), patience) as descriptor:
        yield NetnsHold(descriptor, number)


def holder_of(netns: str = "") -> str:
    """Return which nodewall holds a namespace now, or nothing.

    Raises:
        ToolMissing: there is no such namespace.
    """
    with pinned(netns) as number:
        try:
            descriptor = os.open(_lock_of(number), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return ""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _holder(descriptor)
        finally:
            os.close(descriptor)
    return ""


def _lock_of(number: int) -> Path:
    return FOLDER / f"node-{number}.lock"


@contextmanager
def pinned(netns: str = "") -> Iterator[int]:
    """Keep a network namespace alive, and give the number that no other one has meanwhile.

    Raises:
        ToolMissing: there is no such namespace.
    """
    namespace = namespace_path(netns) if netns else Path("/proc/self/ns/net")
    with namespace.open("rb") as file:
        yield os.fstat(file.fileno()).st_ino


@contextmanager
def _held(path: Path, patience: float) -> Iterator[int]:
    start, descriptor = time.monotonic(), _opened(path)
    try:
        _acquire(descriptor, start, patience)
        while not _is_at(descriptor, path):  # whoever had it took the file away with it
            os.close(descriptor)
            descriptor = _opened(path)
            _acquire(descriptor, start, patience)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        try:
            yield descriptor
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    try:
        make_folder()
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused((Fault("", f"{path}: {error.strerror}", "to be root, who alone may lock a node"),)) from None


def _is_at(descriptor: int, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    return False


def _acquire(descriptor: int, start: float, patience: float) -> None:
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        holder = _holder(descriptor)
        if time.monotonic() - start >= (patience if holder else max(patience, _PATIENCE)):
            raise Refused((Fault("", f"{holder or 'a program'} is changing this node's rules", "one at a time"),))
        time.sleep(_POLL)


def _holder(descriptor: int) -> str:
    """Return which nodewall took the lock, or nothing if it is gone and only its programs are left."""
    text = os.pread(descriptor, 20, 0).decode(errors="replace")
    if not text.isdecimal():
        return "another nodewall"  # which has the lock, but had no time yet to say so
    words = command_line(int(text))
    return f"process {text} ({shown(words)})" if words else ""
