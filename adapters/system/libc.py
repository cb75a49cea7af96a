"""C library bindings for system calls that Python's standard library lacks."""

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)


def last_error(name: str | None = None) -> OSError:
    """Return the error of this thread's last failed call; ``name`` is the file that the call was about."""
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), name)
