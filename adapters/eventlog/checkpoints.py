"""Checkpoints: signed statements that a log has an event with a given hash at a given sequence number.

Reads and appends :class:`Checkpoint` values in a file of JSON Lines. Keep that file where the writers of the log have
no write access: then a rewritten or truncated log no longer matches it. :mod:`adapters.eventlog.signing` makes and
verifies the signatures.

Raises ``Refused`` for a file that cannot be read or written, and for a line that is not a checkpoint.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.errors import Fault, Refused, safe_text
from engine.events import EventTime, canonical, timestamp

_LONGEST = 1 << 12


class Checkpoint(BaseModel):
    """Signed statement that a log had an event with this ``hash`` at this ``sequence``.

    ``key`` is the fingerprint of the signing key, ``signature`` is Base64 and empty before signing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["checkpoint"] = "checkpoint"
    sequence: int = Field(ge=0)
    hash: str
    time: EventTime
    key: str
    signature: str = ""

    def statement(self) -> bytes:
        """Return the bytes to sign."""
        said = {"hash": self.hash, "key": self.key, "sequence": self.sequence, "time": timestamp(self.time)}
        return b"nodewall checkpoint\n" + canonical(said)

    def line(self) -> bytes:
        """Return the checkpoint as one line of JSON."""
        return canonical({**self.model_dump(mode="json"), "time": timestamp(self.time)}) + b"\n"


def kept(path: str) -> Iterator[tuple[int, Checkpoint]]:
    """Yield the checkpoints in a file, each with its line number, from 1.

    Raises:
        Refused: the file cannot be read, or a line is not a checkpoint.
    """
    try:
        with Path(path).open("rb") as lines:
            number = 0
            while line := lines.readline(_LONGEST):
                number += 1
                try:
                    yield number, Checkpoint.model_validate_json(line)
                except ValidationError:
                    found = safe_text(line[:40].decode(errors="replace").rstrip())
                    raise Refused((Fault(f"{path}:{number}", f"found {found}", "a checkpoint"),)) from None
    except OSError as error:
        raise Refused((Fault(path, str(error.strerror), "a file of checkpoints"),)) from None


def keep(path: str, checkpoint: Checkpoint) -> None:
    """Append a checkpoint to a file and sync it to disk; raise ``Refused`` if the file cannot be written."""
    try:
        there = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(there, "ab") as file:
            file.write(checkpoint.line())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Refused((Fault(path, str(error.strerror), "a file of checkpoints that can be written"),)) from None
