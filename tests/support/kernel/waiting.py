"""Waiting for an agent's work, and for the log to take manifests beside it."""

import time
from collections.abc import Callable

from adapters.cli import main
from tests.support.kernel.node_namespaces import NodeUnderTest


def until(holds: Callable[[], bool], seconds: float) -> float:
    """Wait for something, and return how many seconds it took."""
    begin = time.monotonic()
    while not holds():
        assert time.monotonic() < begin + seconds
        time.sleep(0.02)
    return time.monotonic() - begin


def append(busy: NodeUnderTest, log: str, path: str) -> None:
    """Record manifests; where an agent came first with what it records, once more."""
    until(lambda: main(["log", "append", "--log", log, "-f", path]) == 0, 10)
    busy.capsys.readouterr()
