"""Health of an agent, as Kubernetes probes ask for it.

Input: signs of life from the agent's loop. Output: an empty text if healthy, else the reason.
"""

from collections.abc import Callable
from dataclasses import dataclass

HealthCheck = Callable[[], str]
"""Returns what is wrong, nothing where all is well."""


def well() -> str:
    """Return that all is well."""
    return ""


_STUCK = 300.0
"""Seconds without a turn of the loop, after which it hangs; the longest proofs take some."""


@dataclass(slots=True)
class AgentHealth:
    """Takes note of signs of life; ``now`` is a monotonic clock in seconds, ``beside`` tells if work beside goes on."""

    now: Callable[[], float]
    beside: Callable[[], bool] = lambda: True
    _turned: float | None = None
    _enforced: bool = False

    def turned(self) -> None:
        """Take note that the loop has gone round."""
        self._turned = self.now()

    def enforced(self) -> None:
        """Take note that rules are in force."""
        self._enforced = True

    def health(self) -> str:
        """Return what is wrong with the process, nothing where all is well."""
        if self._turned is not None and self.now() - self._turned > _STUCK:
            return f"nothing was done for {self.now() - self._turned:.0f} s"
        return "" if self.beside() else "the work beside has ended"

    def readiness(self) -> str:
        """Return what is missing until the node is guarded, nothing where it is."""
        return "" if self._enforced else "no rules are in force yet"
