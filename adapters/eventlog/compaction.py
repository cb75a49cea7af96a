"""Compacts an event log: replaces its oldest events with the cluster state that they lead to; also checks signatures.

Input: a log, the last sequence number to compact, and optionally a private key. Output: a :class:`Compaction` with the
number of deleted events. All events are verified first, and the hash chain of the later events stays unchanged. A
``log.compacted`` event at the end of the log holds the digest of the replacing state; the key signs that event.

:func:`judged` compares a log with its signed checkpoints and returns a :class:`SignatureCheck`. Raises ``LogError`` for
a log or signature that cannot be verified, and ``Refused`` for a bad checkpoint file.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.eventlog.checkpoints import Checkpoint, kept
from adapters.eventlog.snapshots import Snapshots, folded, lines_of
from engine.errors import LogCorrupt
from engine.events import CompactedBase
from engine.events.outcomes import LogCompacted
from engine.reconcile.log_interfaces import AuditedLog, CompactableLog, LogReader, VerifiedLog

if TYPE_CHECKING:
    from adapters.eventlog.signing import PublicKey, Signer  # which need an extra


@dataclass(frozen=True, slots=True)
class Compaction:
    """Result of a compaction: the last compacted sequence, and the number of events that were deleted now."""

    until: int
    events: int


def compacted(log: CompactableLog, until: int, signer: "Signer | None", source: str) -> Compaction:
    """Replace the events up to a sequence with the state that they lead to; do nothing if they are already compacted.

    Args:
        log: the log to compact.
        until: the last sequence to compact; at most the last event is compacted.
        signer: the key that signs the ``log.compacted`` event; None leaves it unsigned.
        source: the source field of that event.

    Raises:
        LogError: the log cannot be read, written or verified; it is unchanged then.
    """
    begun = log.begun().sequence
    log.verify()
    last = log.last_sequence()
    until = min(until, last)
    if until <= begun:
        return Compaction(begun, 0)
    base = _base_at(log, until)
    after = log.hash_at(last).decode()
    body = LogCompacted(
        until=until, last=base.mark.hash, state=base.digest, events=until - begun, time=base.time, after=after
    )
    log.compact(base, signer.compaction(body) if signer else body, source=source, expected=last)
    Snapshots(log).forget(until)
    return Compaction(until, until - begun)


def _base_at(log: LogReader, until: int) -> CompactedBase:
    """Return the base that the log will have after a compaction up to sequence ``until``."""
    ((state, mark),) = deque(folded(log, until), maxlen=1)
    (row,) = log.rows(until - 1, until)
    return CompactedBase(mark, row.time.decode(), lines_of(state))


@dataclass(frozen=True, slots=True)
class SignatureCheck:
    """Number of checkpoints that match a log, and the last sequence that a signature covers."""

    checkpoints: int = 0
    until: int = 0


def judged(log: AuditedLog, trust: "PublicKey", checkpoints: str) -> SignatureCheck:
    """Compare a log, whose hash chain is already verified, with its signed checkpoints.

    For a checkpoint of a compacted event, only the signature is verified. Snapshots beside the log are compared with
    the states that its events lead to.

    Raises:
        LogCorrupt: an event differs from its checkpoint, a signature is invalid, or there is no checkpoint.
        Refused: the file cannot be read, or a line of it is not a checkpoint.
    """
    base = log.begun()
    begun = base.sequence
    count, until = 0, _verified_by_compaction(log, trust) if begun else 0
    signed = list(kept(checkpoints))
    wanted = {each.sequence for _, each in signed}
    # One pass verifies the chain and yields the hashes, so no other query of a hostile file can give other ones.
    hashes = {row.sequence: row.hash.decode() for row in log.rows() if row.sequence in wanted}
    hashes[base.sequence] = base.hash
    for number, each in signed:
        _judge(log, trust, each, hashes, f"the checkpoint in {checkpoints}:{number}")
        count, until = count + 1, max(until, each.sequence)
    if not count or not until:
        raise LogCorrupt(log.name, begun + 1, f"no checkpoint in {checkpoints} vouches for it")
    Snapshots(log).verify()
    return SignatureCheck(count, until)


def _judge(log: LogReader, trust: "PublicKey", checkpoint: Checkpoint, hashes: Mapping[int, str], where: str) -> None:
    """Raise ``LogCorrupt`` if the signature of a checkpoint is invalid, or its hash differs from the log's."""
    at = checkpoint.sequence
    if fault := trust.checkpoint_fault(checkpoint):
        raise LogCorrupt(log.name, at, f"of {where} {fault}")
    if at and at >= log.begun().sequence:
        found = hashes.get(at)
        if not found:
            raise LogCorrupt(log.name, at, f"the event is missing, by {where}")
        if found != checkpoint.hash:
            raise LogCorrupt(log.name, at, f"it is not the one of {where}")


def _verified_by_compaction(log: VerifiedLog, trust: "PublicKey") -> int:
    """Return the last sequence that a signed ``log.compacted`` event covers.

    Only an event that records exactly the present base counts, and it must be signed itself.

    Raises:
        LogCorrupt: no such event is signed by the key.
    """
    begun = log.begun().sequence
    fault, until = "nothing is on record", 0
    for sequence, body in log.compactions():
        fault = trust.compaction_fault(body)
        if not fault:
            until = max(until, sequence - 1 if body.after else begun)
    if not until:
        raise LogCorrupt(log.name, begun, f"of what stands for the compacted events {fault}")
    return until
