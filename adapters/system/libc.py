"""C library, loaded with ctypes for functions that Python's standard library lacks, such as those of inotify(7).

`LIBC` is the library; :func:`last_error` returns the error of the last failed call as an ``OSError``.
"""

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)


def last_error(name: str | None = None) -> OSError:
    """Return the error of this thread's last failed call; ``name`` is the file that the call was about."""
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), name)
