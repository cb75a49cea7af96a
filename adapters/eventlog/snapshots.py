"""States of a log kept beside it, so that any state costs only the events since the nearest one.

A state is kept as the shortest history that leads to it, compressed, with the sequence and the hash of its event. One
that does not fit the log, or cannot be read, is as good as none, and is written again when its event is passed.
"""

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from engine.bounded_json import parse_json
from engine.errors import LogCorrupt
from engine.events import EventMark, body_as_json, body_from_json, canonical
from engine.reconcile.interfaces import LogReader, SnapshotLog
from engine.state.fold import ClusterState, evolve, evolved, shortest

INTERVAL = 25_000
"""Events between two states that are kept: less than a second to fold."""


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The states of a log, one in so many events of them kept in its store of snapshots."""

    log: SnapshotLog
    interval: int = INTERVAL

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
        for sequence in self.log.snapshots.sequences():
            if sequence < until:
                self.log.snapshots.remove(sequence)

    def _nearest(self, until: int | None) -> tuple[ClusterState, EventMark]:
        for sequence in sorted(self.log.snapshots.sequences(), reverse=True):
            if until is None or sequence <= until:
                found = self._read(sequence)
                if found is not None:
                    return found
        return first_state(self.log, until)

    def verify(self) -> None:
        """Compare every state that is kept with what the events lead to; no state that is kept is used.

        Raises:
            LogError: an event cannot be trusted, or its state is another one.
        """
        kept = {at: found for at in self.log.snapshots.sequences() if (found := self._read(at)) is not None}
        if kept:
            last = max(mark.sequence for _, mark in kept.values())
            for state, mark in folded(self.log, last):
                same = [each for each, at in kept.values() if at == mark]
                if any(lines_of(each) != lines_of(state) for each in same):
                    problem = f"it leads to another state than {self.log.snapshots.name} has"
                    raise LogCorrupt(self.log.name, mark.sequence, problem)

    def _read(self, sequence: int) -> tuple[ClusterState, EventMark] | None:
        """Return the snapshot of a sequence, None where it is not of this log or is not whole."""
        content = self.log.snapshots.load(sequence)
        if content is None:
            return None
        try:
            head, _, rest = zlib.decompress(content).partition(b"\n")
            told = parse_json(head)
            if not isinstance(told, dict):
                return None
            mark = EventMark(sequence, told["hash"])
            fits = mark.hash and self.log.hash_at(mark.sequence) == mark.hash.encode()
            if not fits or told["digest"] != hashlib.sha256(rest).hexdigest():
                return None
            state = evolved(map(body_from_json, rest.splitlines()))
        except (ValueError, TypeError, KeyError, zlib.error):
            return None
        return replace(state, sequence=mark.sequence), mark

    def _keep(self, state: ClusterState, mark: EventMark) -> None:
        rest = lines_of(state)
        head = canonical({"digest": hashlib.sha256(rest).hexdigest(), "hash": mark.hash})
        self.log.snapshots.save(mark.sequence, zlib.compress(head + b"\n" + rest, 1))


def first_state(log: LogReader, until: int | None = None) -> tuple[ClusterState, EventMark]:
    """Return the state that a log begins with, and the event that it is after."""
    base = log.base(until)
    return replace(evolved(base.bodies()), sequence=base.mark.sequence), base.mark


def folded(log: LogReader, until: int) -> Iterator[tuple[ClusterState, EventMark]]:
    """Yield every state up to a sequence, the first one included, from the events alone."""
    state, mark = first_state(log, until)
    yield state, mark
    for row in log.rows(until=until):
        state = evolve(state, log.said(row))
        yield state, EventMark(row.sequence, row.hash.decode())


def lines_of(state: ClusterState) -> bytes:
    """Return the shortest history that leads to a state, a body a line."""
    return b"".join(canonical(body_as_json(body)) + b"\n" for body in shortest(state))
