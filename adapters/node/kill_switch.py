"""The switch by which somebody on a node has nodewall's rules off it, whatever the cluster says: a file.

It can be made without nodewall and without the cluster, which the rules may have cut off: ``touch /run/nodewall/off``.
A reboot takes it away.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from adapters.node.node_lock import FOLDER


def switch_of(netns: str) -> Path:
    """Return the file of a network namespace, of the machine's own where that is empty."""
    return FOLDER / (f"off-{netns}" if netns else "off")


@dataclass(frozen=True, slots=True)
class FileKillSwitch:
    """The switch of a network namespace, and how all rules are taken off it."""

    netns: str
    withdraw: Callable[[], object]

    @property
    def off(self) -> bool:
        """Whether the file is there."""
        return switch_of(self.netns).exists()

    @property
    def path(self) -> str:
        """The file."""
        return str(switch_of(self.netns))
