"""Watches a file for changes with inotify(7).

Input: a path. Output: a :class:`FileWatch`, whose descriptor becomes readable when the file may have changed. Files in
the same folder whose names begin with its name count too, because SQLite writes to ``NAME-wal`` beside the database.

Raises ``OSError`` if the folder cannot be watched.
"""

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Self

from adapters.system.libc import LIBC, last_error

_MODIFY, _MOVED_TO, _CREATE = 0x2, 0x80, 0x100
_EVENT = struct.Struct("=iIII")  # struct inotify_event: watch, mask, cookie, length of the name that follows
_BUFFER = 1 << 16


class FileWatch:
    """Watch for writes to a file, or to files whose names begin with its name; its folder must exist.

    So it covers SQLite databases, which have their newest part in a second file.
    """

    def __init__(self, path: str) -> None:
        file = Path(path).absolute()
        self._name = os.fsencode(file.name)
        self.descriptor = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            raise last_error(path)
        if LIBC.inotify_add_watch(self.descriptor, os.fsencode(file.parent), _MODIFY | _MOVED_TO | _CREATE) < 0:
            error = last_error(path)
            os.close(self.descriptor)
            raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def told(self) -> bool:
        """Return True if the file was written since the last call, or if the kernel dropped events."""
        found = False
        with suppress(BlockingIOError):
            while data := os.read(self.descriptor, _BUFFER):
                found |= any(name.startswith(self._name) or not name for name in _names(data))
        return found


def _names(data: bytes) -> list[bytes]:
    found, begin = [], 0
    while begin < len(data):
        *_, length = _EVENT.unpack_from(data, begin)
        begin += _EVENT.size + length
        found.append(data[begin - length : begin].rstrip(b"\0"))
    return found
