"""C library bindings for system calls that Python's standard library lacks."""

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)


def last_error(name: str | None = None) -> OSError:
    """Return why the call of this thread that was made last failed; ``name`` is of the file that it was about."""
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), name)
