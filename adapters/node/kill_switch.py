"""Kill switch: a file on the Node that makes the agent remove all nodewall rules, whatever the cluster declares.

An operator creates it with ``touch /run/nodewall/off``, which works without nodewall commands and without the cluster.
After a reboot, the file no longer exists. Input: a network namespace (each has its own file), and a function that
removes the rules. Output: whether the file exists.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from adapters.node.node_lock import FOLDER


def switch_of(netns: str) -> Path:
    """Return the switch file of a network namespace; empty means the machine's own."""
    return FOLDER / (f"off-{netns}" if netns else "off")


@dataclass(frozen=True, slots=True)
class FileKillSwitch:
    """Kill switch of a network namespace; ``withdraw`` removes all rules of nodewall."""

    netns: str
    withdraw: Callable[[], object]

    @property
    def off(self) -> bool:
        """True if the file exists, that is, the rules must be off."""
        return switch_of(self.netns).exists()

    @property
    def path(self) -> str:
        """Path of the file."""
        return str(switch_of(self.netns))
