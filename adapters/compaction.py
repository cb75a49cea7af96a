"""A log's oldest events made into the state that they led to, so that it need not grow for ever.

The chain stays as it is from the event after them on. What stands for them is put on record by an event at the end, so
that it is vouched for as all else is, and that event can be signed.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.checkpoints import kept
from adapters.eventlog import Base, Mark, SqliteLog
from adapters.snapshots import Snapshots, lines_of
from engine.errors import LogCorrupt
from engine.outcomes import LogCompacted

if TYPE_CHECKING:
    from adapters.signing import Signer, Trust  # which need an extra


@dataclass(frozen=True, slots=True)
class Compaction:
    """Up to which sequence a log is compacted, and how many events that took away now."""

    until: int
    events: int


def compacted(log: SqliteLog, until: int, signer: "Signer | None", source: str) -> Compaction:
    """Have a state stand for the events up to a sequence; where none is left of them nothing is done.

    Every event is verified before.

    Raises:
        LogError: the log cannot be read, written or trusted; it is as it was.
    """
    begun = log.begun().sequence
    log.verify()
    snapshots = Snapshots(log)
    last = log.last_sequence()
    until = min(until, last)
    if until <= begun:
        return Compaction(begun, 0)
    state, mark = snapshots.reached(until)
    base = Base(mark, state=lines_of(state))
    body = LogCompacted(until=until, last=mark.hash, state=base.digest, events=until - begun)
    log.compact(base, signer.compaction(body) if signer else body, source=source, expected=last)
    snapshots.forget(until)
    return Compaction(until, until - begun)


@dataclass(frozen=True, slots=True)
class Signed:
    """How many checkpoints a log agrees with, and the sequence up to which it is vouched for by them."""

    checkpoints: int = 0
    until: int = 0


def judged(log: SqliteLog, trust: "Trust", checkpoints: str) -> Signed:
    """Return how a log, of which the chain is sound, agrees with what was signed.

    Checkpoints of events that were compacted are judged by their signatures alone.

    Raises:
        LogCorrupt: at the first event that is not what was signed, or where what was signed cannot be trusted.
        Refused: a line of the file holds no checkpoint.
    """
    begun = log.begun()
    if begun.sequence and (fault := _compaction_fault(log, trust, begun)):
        raise LogCorrupt(log.path, begun.sequence, f"of what stands for the compacted events {fault}")
    count = until = 0
    for number, each in kept(checkpoints):
        where = f"the checkpoint in {checkpoints}:{number}"
        if fault := trust.checkpoint_fault(each):
            raise LogCorrupt(log.path, each.sequence, f"of {where} {fault}")
        if each.sequence >= begun.sequence and each.sequence:
            found = log.hash_at(each.sequence).decode()
            if not found:
                raise LogCorrupt(log.path, each.sequence, f"the event is missing, by {where}")
            if found != each.hash:
                raise LogCorrupt(log.path, each.sequence, f"it is not the one of {where}")
        count, until = count + 1, max(until, each.sequence)
    return Signed(count, until)


def _compaction_fault(log: SqliteLog, trust: "Trust", begun: Mark) -> str:
    """Return what is wrong with the signature of the event that put on record what a log begins with."""
    fault = "nothing is on record"
    for row in log.some(lambda kind, _: kind == b"log.compacted"):
        body = log.said(row)
        if isinstance(body, LogCompacted) and body.until == begun.sequence:
            fault = trust.compaction_fault(body)
    return fault
