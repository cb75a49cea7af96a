"""States of a log kept beside it, so that any state costs only the events since the nearest one.

A state is kept as the shortest history that leads to it, compressed, with the sequence and the hash of its event. One
that does not fit the log, or cannot be read, is as good as none, and is written again when its event is passed.
"""

import hashlib
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from adapters.eventlog.sqlite import EventMark, SqliteLog
from engine.bounded_json import parse_json
from engine.errors import LogCorrupt
from engine.events import body_as_json, body_from_json, canonical
from engine.state.fold import ClusterState, evolve, evolved, shortest

_LOG = structlog.get_logger(__name__)

INTERVAL = 25_000
"""Events between two states that are kept: less than a second to fold."""


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The states of a log, one in so many events of them kept in the folder beside it that ends in ``-states``."""

    log: SqliteLog
    interval: int = INTERVAL

    @property
    def folder(self) -> Path:
        """Where they are kept; it may be removed at any time."""
        return Path(f"{self.log.path}-states")

    def reached(self, until: int | None = None) -> tuple[ClusterState, EventMark]:
        """Return the state after the events up to a sequence, or after all, and the last of them.

        Raises:
            LogError: the log cannot be read, or an event since the nearest state that is kept cannot be trusted.
        """
        state, mark = self._nearest(until)
        for row in self.log.rows(until=until, known=mark):
            state = evolve(state, self.log.said(row))
            mark = EventMark(row.sequence, row.hash.decode())
            if row.sequence % self.interval == 0:
                self._keep(state, mark)
        return state, mark

    def forget(self, until: int) -> None:
        """Take away the states of before a sequence, as of events that are no longer there."""
        for path in self._kept():
            if int(path.stem) < until:
                with suppress(OSError):
                    path.unlink()

    def _nearest(self, until: int | None) -> tuple[ClusterState, EventMark]:
        for path in sorted(self._kept(), reverse=True):
            if until is None or int(path.stem) <= until:
                found = self._read(path)
                if found is not None:
                    return found
        return first_state(self.log, until)

    def verify(self) -> None:
        """Compare every state that is kept with what the events lead to; no state that is kept is used.

        Raises:
            LogError: an event cannot be trusted, or its state is another one.
        """
        kept = {path: found for path in self._kept() if (found := self._read(path)) is not None}
        if kept:
            last = max(mark.sequence for _, mark in kept.values())
            for state, mark in folded(self.log, last):
                same = [each for each, at in kept.values() if at == mark]
                if any(lines_of(each) != lines_of(state) for each in same):
                    raise LogCorrupt(self.log.path, mark.sequence, f"it leads to another state than {self.folder} has")

    def _kept(self) -> Iterator[Path]:
        with suppress(OSError):
            yield from (path for path in self.folder.iterdir() if path.suffix == ".z" and path.stem.isdecimal())

    def _read(self, path: Path) -> tuple[ClusterState, EventMark] | None:
        """Return what a file keeps, None where it is not of this log or is not whole."""
        try:
            head, _, rest = zlib.decompress(path.read_bytes()).partition(b"\n")
            told = parse_json(head)
            if not isinstance(told, dict):
                return None
            mark = EventMark(int(path.stem), told["hash"])
            fits = mark.hash and self.log.hash_at(mark.sequence) == mark.hash.encode()
            if not fits or told["digest"] != hashlib.sha256(rest).hexdigest():
                return None
            state = evolved(map(body_from_json, rest.splitlines()))
        except (OSError, ValueError, TypeError, KeyError, zlib.error):
            return None
        return replace(state, sequence=mark.sequence), mark

    def _keep(self, state: ClusterState, mark: EventMark) -> None:
        """Write a state; where that cannot be, it will be worked out again."""
        rest = lines_of(state)
        head = canonical({"digest": hashlib.sha256(rest).hexdigest(), "hash": mark.hash})
        path = self.folder / f"{mark.sequence:012}.z"
        fresh = path.with_suffix(f".{os.getpid()}")
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            fresh.write_bytes(zlib.compress(head + b"\n" + rest, 1))
            fresh.replace(path)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink()
            _LOG.debug("state not kept", folder=str(self.folder), error=str(error))


def first_state(log: SqliteLog, until: int | None = None) -> tuple[ClusterState, EventMark]:
    """Return the state that a log begins with, and the event that it is after."""
    base = log.base(until)
    return replace(evolved(base.bodies()), sequence=base.mark.sequence), base.mark


def folded(log: SqliteLog, until: int) -> Iterator[tuple[ClusterState, EventMark]]:
    """Yield every state up to a sequence, the first one included, from the events alone."""
    state, mark = first_state(log, until)
    yield state, mark
    for row in log.rows(until=until):
        state = evolve(state, log.said(row))
        yield state, EventMark(row.sequence, row.hash.decode())


def lines_of(state: ClusterState) -> bytes:
    """Return the shortest history that leads to a state, a body a line."""
    return b"".join(canonical(body_as_json(body)) + b"\n" for body in shortest(state))
