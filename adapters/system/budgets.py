"""Time and memory budgets for questions about all packets.

Input: limits in seconds and MiB. Output: `simulator.symbolic.Budget` values by the system's monotonic clock.
"""

from dataclasses import dataclass
from time import monotonic

from simulator.packet_sets.bdd import DEFAULT_NODES, NODE_BYTES
from simulator.symbolic import Budget

_MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Deadline:
    """Says whether there is time until the system's clock shows ``end``, in seconds.

    Elsewhere that clock shows something else, so what is sent there is how much time is left.
    """

    end: float

    def __call__(self) -> bool:
        """Return whether there is still time."""
        return monotonic() < self.end

    def __reduce__(self) -> tuple[object, ...]:
        """Return how it is made again elsewhere."""
        return (in_seconds, (self.end - monotonic(),))


def in_seconds(seconds: float) -> Deadline:
    """Return the deadline that is so far away."""
    return Deadline(monotonic() + seconds)


def budget(seconds: float | None, mebibytes: int | None) -> Budget:
    """Return a budget that begins to run now; None is no limit of time, and of memory the usual one."""
    nodes = DEFAULT_NODES if mebibytes is None else max(1, mebibytes * _MEBIBYTE // NODE_BYTES)
    return Budget(nodes) if seconds is None else Budget(nodes, in_seconds(seconds))
