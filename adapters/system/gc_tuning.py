"""Tunes Python's garbage collector for nodewall's long-lived objects, and returns free memory to the system.

Garbage collection took a third of the time of an apply with 100,000 addresses. At its start, the command line makes
collections rare; the agent returns free memory from time to time. Sources: the Python module ``gc``, malloc_trim(3).
"""

import gc
from contextlib import suppress

from adapters.system.libc import LIBC

_YOUNG, _OLDER, _OLDEST = 50_000, 20, 100
"""Thresholds: new objects until the youngest generation is collected, and collections until the next older one is."""


def collect_rarely() -> None:
    """Make garbage collection rare, because nearly all objects here live long and refer to nothing younger.

    With 100,000 addresses, garbage collection took a third of the time of an apply.
    """
    gc.set_threshold(_YOUNG, _OLDER, _OLDEST)


def trim_heap() -> None:
    """Return free memory in the C library's heap to the system. Source: malloc_trim(3)."""
    with suppress(AttributeError):  # this C library lacks the function
        LIBC.malloc_trim(0)
