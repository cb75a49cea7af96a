"""How far long work is, shown on a terminal and nowhere else."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def progressing(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield items, with a bar on standard error that shows how many of ``total`` have come, if that is a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console  # noqa: PLC0415 - rich costs start-up time that only terminals need
    from rich.progress import track  # noqa: PLC0415 - as above

    yield from track(items, what, total, console=Console(stderr=True), transient=True)
