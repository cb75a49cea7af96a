"""Helpers that wait for an agent's work, or until the log accepts manifests."""

import time
from collections.abc import Callable

from adapters.cli import main
from tests.support.kernel.node_namespaces import NodeUnderTest


def until(holds: Callable[[], bool], seconds: float) -> float:
    """Wait until ``holds`` returns True; return the seconds that passed, and fail after ``seconds``."""
    begin = time.monotonic()
    while not holds():
        assert time.monotonic() < begin + seconds
        time.sleep(0.02)
    return time.monotonic() - begin


def append(busy: NodeUnderTest, log: str, path: str) -> None:
    """Append manifests to a log; try again if an agent appended first."""
    until(lambda: main(["log", "append", "--log", log, "-f", path]) == 0, 10)
    busy.capsys.readouterr()
