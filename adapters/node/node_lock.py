"""Lock that lets only one nodewall process at a time change the rules of a network namespace.

Input: the name of a network namespace. Output: a :class:`NetnsHold`, which holds the lock. The lock is flock(2) on a
file of the namespace. Started tools inherit it, so a tool that outlives a killed nodewall finishes before the next one
begins.

Raises ``Refused`` if another process holds the lock, and ``ToolMissing`` for a namespace that does not exist.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adapters.system.process import NetnsHold, command_line, namespace_path
from engine.errors import Fault, Refused, safe_text

FOLDER = Path("/run/nodewall")
"""Folder of the lock, switch and pending files, through which nodewall processes coordinate."""

_PATIENCE = 15.0  # seconds to wait for the tools of a nodewall that has ended
_POLL = 0.02


def make_folder() -> None:
    """Create the folder if it is missing; raise ``OSError`` on failure."""
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def node_lock(netns: str = "", patience: float = 0.0) -> Iterator[NetnsHold]:
    """Lock a network namespace for changes of its rules; started tools inherit the lock.

    Args:
        netns: the name of the namespace, empty for this process's own.
        patience: seconds to wait for another nodewall that holds the lock.

    Raises:
        Refused: another nodewall holds the lock, or the lock file cannot be created.
        ToolMissing: the namespace does not exist.
    """
    # Lock by inode number, because one namespace can have several names.
    with pinned(netns) as number, _held(_lock_of(number), patience) as descriptor:
        yield NetnsHold(descriptor, number)


def holder_of(netns: str = "") -> str:
    """Describe the nodewall process that holds the lock of a namespace, or return an empty string.

    Raises:
        ToolMissing: the namespace does not exist.
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
    """Keep a network namespace alive in the block, and give its inode number, which stays unique meanwhile.

    Raises:
        ToolMissing: the namespace does not exist.
    """
    namespace = namespace_path(netns) if netns else Path("/proc/self/ns/net")
    with namespace.open("rb") as file:
        yield os.fstat(file.fileno()).st_ino


@contextmanager
def _held(path: Path, patience: float) -> Iterator[int]:
    """Hold the lock in the block, and yield the descriptor of its file, which holds the id of this process."""
    start, descriptor = time.monotonic(), _opened(path)
    try:
        _acquire(descriptor, start, patience)
        while not _is_at(descriptor, path):  # the previous holder deleted the file
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
    """Return True if the open file still has this path."""
    with suppress(FileNotFoundError):
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    return False


def _acquire(descriptor: int, start: float, patience: float) -> None:
    """Take the lock; wait until ``patience`` seconds after ``start``, or longer for tools that an ended nodewall left.

    Raises:
        Refused: another process still holds the lock.
    """
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        holder = _holder(descriptor)
        if time.monotonic() - start >= (patience if holder else max(patience, _PATIENCE)):
            raise Refused((Fault("", f"{holder or 'a program'} is changing this node's rules", "one at a time"),))
        time.sleep(_POLL)


def _holder(descriptor: int) -> str:
    """Describe the process that took the lock; empty if it has ended and only its tools are left."""
    text = os.pread(descriptor, 20, 0).decode(errors="replace")
    if not text.isdecimal():
        return "another nodewall"  # it has the lock, but has not written its process id yet
    words = command_line(int(text))
    return f"process {text} ({safe_text(words)})" if words else ""
