"""Time and memory budgets for proofs and other analyses of all packets.

Input: limits in seconds and MiB, as the user gives them. Output: a :class:`simulator.symbolic.Budget`, whose time
counts on the system's monotonic clock. A budget that is sent to another process keeps its remaining time.
"""

from dataclasses import dataclass
from time import monotonic

from simulator.packet_sets.bdd import DEFAULT_NODES, NODE_BYTES
from simulator.symbolic import Budget

_MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Deadline:
    """Deadline ``end``, in seconds of the system's monotonic clock; a call returns True before it.

    Another process may have another clock, so a pickled deadline carries the remaining seconds.
    """

    end: float

    def __call__(self) -> bool:
        """Return True if there is time left."""
        return monotonic() < self.end

    def __reduce__(self) -> tuple[object, ...]:
        """Return the function and the remaining seconds from which pickle restores the deadline."""
        return (in_seconds, (self.end - monotonic(),))


def in_seconds(seconds: float) -> Deadline:
    """Return the deadline ``seconds`` from now."""
    return Deadline(monotonic() + seconds)


def budget(seconds: float | None, mebibytes: int | None) -> Budget:
    """Return a budget that starts now; None means no time limit, and the default memory limit."""
    nodes = DEFAULT_NODES if mebibytes is None else max(1, mebibytes * _MEBIBYTE // NODE_BYTES)
    return Budget(nodes) if seconds is None else Budget(nodes, in_seconds(seconds))
