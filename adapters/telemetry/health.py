"""Health and readiness of an agent, for the probes of Kubernetes.

Input: a call after each turn of the agent's loop, a call after each apply, and whether the background work runs.
Output: an empty string if the agent is healthy or ready, else the reason why it is not.
"""

from collections.abc import Callable
from dataclasses import dataclass

HealthCheck = Callable[[], str]
"""Function that returns the reason of a failure, or an empty string if healthy."""


def always_healthy() -> str:
    """Return an empty string: always healthy."""
    return ""


_STUCK = 300.0
"""Seconds without a turn of the loop after which the agent counts as hung; long proofs take a part of them."""


@dataclass(slots=True)
class AgentHealth:
    """Health of an agent, from the turns of its loop.

    ``now`` is a monotonic clock in seconds; ``beside`` returns True while the background work runs.
    """

    now: Callable[[], float]
    beside: Callable[[], bool] = lambda: True
    _turned: float | None = None
    _enforced: bool = False

    def turned(self) -> None:
        """Record a turn of the loop."""
        self._turned = self.now()

    def enforced(self) -> None:
        """Record that rules are enforced."""
        self._enforced = True

    def health(self) -> str:
        """Return the reason why the process is unhealthy, or an empty string."""
        if self._turned is not None and self.now() - self._turned > _STUCK:
            return f"nothing was done for {self.now() - self._turned:.0f} s"
        return "" if self.beside() else "the work beside has ended"

    def readiness(self) -> str:
        """Return the reason why the Node is not ready, or an empty string."""
        return "" if self._enforced else "no rules are in force yet"
