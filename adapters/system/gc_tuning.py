"""Tunes the garbage collector of long-running processes and returns free memory to the system.

Sources: the Python module ``gc``, malloc_trim(3).
"""

import gc
from contextlib import suppress

from adapters.system.libc import LIBC

_YOUNG, _OLDER, _OLDEST = 50_000, 20, 100
"""New objects, and looks at the younger, after which each generation is looked at."""


def look_seldom() -> None:
    """Look seldom: nearly all that is made here lives long and refers to nothing younger.

    With 100,000 addresses a third of the time of an apply went by in such looks.
    """
    gc.set_threshold(_YOUNG, _OLDER, _OLDEST)


def give_back() -> None:
    """Give memory back to the system that is free inside the C library's heap. Source: malloc_trim(3)."""
    with suppress(AttributeError):  # of a C library that has no such function
        LIBC.malloc_trim(0)
