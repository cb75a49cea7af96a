"""Snapshots of the cluster state beside an event log, so that a read applies only the events after the last snapshot.

Input: a log, and optionally the last sequence number to read. Output: the ``ClusterState`` at that event, and an
``EventMark`` (sequence number and hash of the event). A snapshot is written every `INTERVAL` events; it holds the
shortest list of event bodies that leads to the state, compressed by zlib. A snapshot that is damaged or does not fit
the log is ignored; a later read that computes that state again replaces it.

Raises ``LogError`` if the log cannot be read or verified.
"""

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from engine.bounded_json import parse_json
from engine.errors import LogCorrupt, LogUnusable
from engine.events import BEGINNING, EventMark, body_as_json, body_from_json, canonical
from engine.events.upcasting import FutureVersion
from engine.reconcile.log_interfaces import LogReader, SnapshotLog
from engine.state.fold import ClusterState, evolve, fold_bodies, snapshot_events

INTERVAL = 25_000
"""Events between two snapshots; folding so many takes less than a second."""

LARGEST = 256 << 20
"""Bytes of the text of a snapshot, at most; a state of 100,000 Pods has about 50 MiB."""


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Snapshots of one log, with one snapshot every ``interval`` events."""

    log: SnapshotLog
    interval: int = INTERVAL

    def reached(self, until: int | None = None) -> tuple[ClusterState, EventMark]:
        """Return the state after the events up to a sequence, or after all events, with its last event.

        Events after the nearest snapshot are verified and folded; new snapshots are stored on the way.

        Raises:
            LogError: the log cannot be read, or an event after that snapshot cannot be verified.
        """
        state, mark = self._nearest(until)
        for row in self.log.rows(until=until, known=mark):
            state = evolve(state, self.log.said(row))
            mark = EventMark(row.sequence, row.hash.decode())
            if row.sequence % self.interval == 0:
                self._keep(state, mark)
        return state, mark

    def forget(self, until: int) -> None:
        """Delete the snapshots before a sequence, whose events were compacted."""
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
        """Compare every snapshot with the state that is folded from events alone.

        Raises:
            LogError: an event cannot be verified, or a snapshot differs from its state.
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
        """Return the snapshot of a sequence, None if it is damaged or does not fit the log."""
        content = self.log.snapshots.load(sequence)
        if content is None:
            return None
        try:
            head, _, rest = _decompressed(content).partition(b"\n")
            told = parse_json(head)
            if not isinstance(told, dict) or not isinstance(told["hash"], str):
                return None
            mark = EventMark(sequence, told["hash"])
            fits = mark.hash and self.log.hash_at(mark.sequence) == mark.hash.encode()
            if not fits or told["digest"] != hashlib.sha256(rest).hexdigest():
                return None
            state = fold_bodies(map(body_from_json, rest.splitlines()))
        except (ValueError, TypeError, KeyError, zlib.error):
            return None
        return replace(state, sequence=mark.sequence), mark

    def _keep(self, state: ClusterState, mark: EventMark) -> None:
        rest = lines_of(state)
        if len(rest) > LARGEST // 2:
            return
        head = canonical({"digest": hashlib.sha256(rest).hexdigest(), "hash": mark.hash})
        self.log.snapshots.save(mark.sequence, zlib.compress(head + b"\n" + rest, 1))


def _decompressed(content: bytes) -> bytes:
    """Return the text of a snapshot; raise ``ValueError`` for one that is longer than any that was written."""
    stream = zlib.decompressobj()
    text = stream.decompress(content, LARGEST)
    if not stream.eof:
        raise ValueError("too large, or cut short")
    return text


def first_state(log: LogReader, until: int | None = None) -> tuple[ClusterState, EventMark]:
    """Return the state of the log's base and the last event in it; empty for a log that was never compacted.

    Raises:
        LogCorrupt: no compaction event records exactly this base, or it cannot be read.
        LogUnusable: a newer nodewall wrote it.
    """
    base = log.base(until)
    if base.mark == BEGINNING:
        return ClusterState(), base.mark
    log.verify_base()
    try:
        return replace(fold_bodies(base.bodies()), sequence=base.mark.sequence), base.mark
    except FutureVersion as error:
        raise LogUnusable(log.name, f"what stands for the compacted events is {error}") from None
    except ValueError:
        problem = "what stands for the compacted events cannot be read"
        raise LogCorrupt(log.name, base.mark.sequence, problem) from None


def folded(log: LogReader, until: int) -> Iterator[tuple[ClusterState, EventMark]]:
    """Yield the base state and the state after each event up to a sequence, without snapshots."""
    state, mark = first_state(log, until)
    yield state, mark
    for row in log.rows(until=until):
        state = evolve(state, log.said(row))
        yield state, EventMark(row.sequence, row.hash.decode())


def lines_of(state: ClusterState) -> bytes:
    """Return the shortest list of event bodies that leads to a state, one canonical JSON line per body."""
    return b"".join(canonical(body_as_json(body)) + b"\n" for body in snapshot_events(state))
