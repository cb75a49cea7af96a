"""Stores the snapshots of an event log, either in a folder beside the log file or in memory.

Input and output: the bytes of a snapshot (the cluster state after an event), by the sequence number of the event. No
method raises, because snapshots only save time: ``load`` returns None for one that cannot be read, ``save`` only logs a
failure.
"""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from engine.reconcile.log_interfaces import SnapshotStore

_FILE = re.compile(r"[0-9]{12,18}\.z")

_LOG = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FolderSnapshots(SnapshotStore):
    """Snapshots as files in a folder; the files may be deleted at any time."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.folder)

    def sequences(self) -> Sequence[int]:
        with suppress(OSError, ValueError):  # ValueError: a path with a NUL character
            return [int(path.stem) for path in self.folder.iterdir() if _FILE.fullmatch(path.name)]
        return []

    def load(self, sequence: int) -> bytes | None:
        with suppress(OSError):
            return self._path(sequence).read_bytes()
        return None

    def save(self, sequence: int, content: bytes) -> None:
        path = self._path(sequence)
        fresh = path.with_suffix(f".{os.getpid()}")
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            fresh.write_bytes(content)
            fresh.replace(path)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink()
            _LOG.debug("state not kept", folder=str(self.folder), error=str(error))

    def remove(self, sequence: int) -> None:
        with suppress(OSError):
            self._path(sequence).unlink()

    def _path(self, sequence: int) -> Path:
        return self.folder / f"{sequence:012}.z"


@dataclass(frozen=True, slots=True)
class MemorySnapshots(SnapshotStore):
    """Snapshots in memory."""

    name: str = "memory"
    content: dict[int, bytes] = field(default_factory=dict)

    def sequences(self) -> Sequence[int]:
        return list(self.content)

    def load(self, sequence: int) -> bytes | None:
        return self.content.get(sequence)

    def save(self, sequence: int, content: bytes) -> None:
        self.content[sequence] = content

    def remove(self, sequence: int) -> None:
        self.content.pop(sequence, None)
