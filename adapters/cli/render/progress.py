"""Progress bar on stderr for long work; it appears only on a terminal."""

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
