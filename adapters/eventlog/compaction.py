"""A log's oldest events made into the state that they led to, so that it need not grow for ever.

The chain stays as it is from the event after them on. What stands for them is put on record by an event at the end, so
that it is vouched for as all else is, and that event can be signed.
"""

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.eventlog.checkpoints import Checkpoint, kept
from adapters.eventlog.snapshots import Snapshots, folded, lines_of
from engine.errors import LogCorrupt
from engine.events import CompactedBase
from engine.events.outcomes import LogCompacted
from engine.reconcile.interfaces import AuditedLog, CompactableLog, LogReader, VerifiedLog

if TYPE_CHECKING:
    from adapters.eventlog.signing import PublicKey, Signer  # which need an extra


@dataclass(frozen=True, slots=True)
class Compaction:
    """Up to which sequence a log is compacted, and how many events that took away now."""

    until: int
    events: int


def compacted(log: CompactableLog, until: int, signer: "Signer | None", source: str) -> Compaction:
    """Have a state stand for the events up to a sequence; where none is left of them nothing is done.

    Every event is verified before, and the state is worked out from events alone, not from states that are kept.

    Raises:
        LogError: the log cannot be read, written or trusted; it is as it was.
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
    """Return what a log would begin with where it was compacted up to an event that it has."""
    ((state, mark),) = deque(folded(log, until), maxlen=1)
    (row,) = log.rows(until - 1, until)
    return CompactedBase(mark, row.time.decode(), lines_of(state))


@dataclass(frozen=True, slots=True)
class SignatureCheck:
    """How many checkpoints a log agrees with, and the sequence up to which it is vouched for by them."""

    checkpoints: int = 0
    until: int = 0


def judged(log: AuditedLog, trust: "PublicKey", checkpoints: str) -> SignatureCheck:
    """Return how a log, of which the chain is sound, agrees with what was signed.

    Checkpoints of events that were compacted are judged by their signatures alone. States that are kept beside the log
    must be those that its events lead to.

    Raises:
        LogCorrupt: at the first event that is not what was signed, or where what was signed cannot be trusted; or no
            checkpoint is there.
        Refused: the file cannot be read, or a line of it holds no checkpoint.
    """
    begun = log.begun().sequence
    count, until = 0, _vouched_by_compaction(log, trust) if begun else 0
    for number, each in kept(checkpoints):
        _judge(log, trust, each, f"the checkpoint in {checkpoints}:{number}")
        count, until = count + 1, max(until, each.sequence)
    if not count or not until:
        raise LogCorrupt(log.name, begun + 1, f"no checkpoint in {checkpoints} vouches for it")
    Snapshots(log).verify()
    return SignatureCheck(count, until)


def _judge(log: LogReader, trust: "PublicKey", checkpoint: Checkpoint, where: str) -> None:
    """Raise ``LogCorrupt`` where a checkpoint cannot be trusted, or the log has another event than it says."""
    at = checkpoint.sequence
    if fault := trust.checkpoint_fault(checkpoint):
        raise LogCorrupt(log.name, at, f"of {where} {fault}")
    if at and at >= log.begun().sequence:
        found = log.hash_at(at).decode()
        if not found:
            raise LogCorrupt(log.name, at, f"the event is missing, by {where}")
        if found != checkpoint.hash:
            raise LogCorrupt(log.name, at, f"it is not the one of {where}")


def _vouched_by_compaction(log: VerifiedLog, trust: "PublicKey") -> int:
    """Return up to which sequence a signed record of what the log begins with vouches for it.

    The record has to be signed itself: a signature on another one that says less or otherwise counts for nothing.

    Raises:
        LogCorrupt: no record that fits is signed by the key.
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
