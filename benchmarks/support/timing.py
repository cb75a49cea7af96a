"""Measures the duration of a call in seconds."""

from collections.abc import Callable
from time import perf_counter


def seconds(work: Callable[[], object]) -> float:
    """Call a function once, and return how many seconds it took."""
    begin = perf_counter()
    work()
    return perf_counter() - begin
