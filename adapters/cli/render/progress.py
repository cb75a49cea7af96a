"""Progress bar on stderr for commands that take long; it appears only if stderr is a terminal.

Input: an iterable, its number of items, and a label. Output: the same items, unchanged.
"""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def progressing(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield the items; on a terminal, show a progress bar labelled ``what`` up to ``total`` items."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console  # noqa: PLC0415 - rich costs start-up time that only terminals need
    from rich.progress import track  # noqa: PLC0415 - as above

    yield from track(items, what, total, console=Console(stderr=True), transient=True)
