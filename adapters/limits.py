"""How much finding out about all packets may take, by the system's clock."""

from collections.abc import Callable
from time import monotonic

from simulator.headerspace import Budget
from simulator.headerspace.diagram import DEFAULT_NODES, NODE_BYTES

_MEBIBYTE = 1 << 20


def budget(seconds: float | None, mebibytes: int | None, now: Callable[[], float] = monotonic) -> Budget:
    """Return a budget that begins to run now; None is no limit of time, and of memory the usual one."""
    nodes = DEFAULT_NODES if mebibytes is None else max(1, mebibytes * _MEBIBYTE // NODE_BYTES)
    if seconds is None:
        return Budget(nodes)
    end = now() + seconds
    return Budget(nodes, lambda: now() < end)
