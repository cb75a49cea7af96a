"""Exports, imports and branches event logs; exports are in the JSON Lines format.

Output of an export: one line per event with its hash, so that an import stores the same bytes. If the log was
compacted, the first line holds the cluster state that replaces the deleted events. Input of an import: the lines of an
export; every hash is verified. A branch is a copy of a log up to a sequence number.

Raises ``Refused`` for a bad line, or for events that differ from those in the log. Raises ``LogError`` if a log cannot
be read or written.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import IO, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters.eventlog.chain import with_recorded_base
from engine.bounded_json import MAX_BYTES, parse_json
from engine.errors import Fault, LogError, LogUnusable, Refused, safe_text
from engine.events import (
    BEGINNING,
    GENESIS,
    MAX_SEQUENCE,
    CompactedBase,
    EventMark,
    StoredEvent,
    body_as_json,
    body_from_json,
    canonical,
)
from engine.reconcile.log_interfaces import LogReader, LogReplica

_SHOWN = 40


@dataclass(frozen=True, slots=True)
class ImportResult:
    """Numbers of imported events, and of events that the log already had."""

    new: int
    known: int


def exported(log: LogReader, after: int = 0, until: int | None = None) -> Iterator[bytes]:
    """Yield the events ``after < sequence <= until`` as lines, oldest first, after the line of a compacted log's base.

    Raises:
        LogCorrupt: the hash chain breaks at an event; the chain is verified from the first event of the log.
    """
    base = log.base()
    if after < base.mark.sequence:
        yield _line_of(base)
    yield from (row.line() for row in log.rows(after, until))


def _line_of(base: CompactedBase) -> bytes:
    bodies = [parse_json(line) for line in base.state.splitlines()]
    told = {"hash": base.mark.hash, "sequence": base.mark.sequence, "state": bodies, "time": base.time}
    return canonical({_BEGINS: told}) + b"\n"


_BEGINS = "begins"
"""JSON key of the line with the base of a compacted log."""


def branched(log: LogReader, new: LogReplica, until: int | None = None) -> int:
    """Copy the events of a log up to a sequence to a new log, and return the last sequence.

    Raises:
        LogUnusable: the new log already exists or cannot be created.
        LogError: the old log cannot be read or verified, or no event up to the sequence records its base; the new log
            is deleted again.
    """
    if new.exists:
        raise LogUnusable(new.name, "there is something already")
    try:
        base, rows = log.base(until), log.rows(until=until)
        if base.mark == BEGINNING:
            new.adopt(rows, expected=0)
        else:
            new.adopt(with_recorded_base(rows, base, log.name), expected=0, base=base)
        return new.last_sequence()
    except LogError:
        new.discard()
        raise


def imported(log: LogReplica, lines: IO[bytes], name: str) -> ImportResult:
    """Append those events of an export that the log lacks; events that it already has must be equal.

    The events are appended in one transaction, so an import that fails or is interrupted changes nothing.

    Args:
        log: the log to append to.
        lines: the export.
        name: the name of the export in errors.

    Raises:
        Refused: a line is not an event, does not follow the line before it, or belongs to another history.
        LogError: the log cannot be written, or no event records its base.
    """
    base, numbered = _begun(log, enumerate(iter(partial(lines.readline, MAX_BYTES), b""), 1), name)
    begun = log.last_sequence() if log.exists else 0
    end = base.mark if base else EventMark(begun, log.hash_at(begun).decode() if begun else GENESIS)
    source = _Import(log, name, end, begun)
    rows = source.new_rows(numbered)
    if base:
        log.adopt(with_recorded_base(rows, base, log.name), expected=begun, base=base)
    elif (first := next(rows, None)) is not None:
        log.adopt(chain([first], rows), expected=begun)
    return ImportResult(source.new, source.known)


@dataclass(slots=True)
class _Import:
    """One import: compares the events that the log has, and counts both kinds."""

    log: LogReplica
    name: str
    end: EventMark
    """Event after which the new events come."""
    begun: int
    """Newest event of the log before the import."""
    new: int = 0
    known: int = 0

    def new_rows(self, numbered: Iterator[tuple[int, bytes]]) -> Iterator[StoredEvent]:
        """Yield the events that the log lacks; raise ``Refused`` where one does not follow or differs."""
        there: Iterator[bytes] | None = None
        last = self.end.sequence
        for number, row in _checked(numbered, self.name):
            where = f"{self.name}:{number}"
            if row.sequence <= self.begun:
                there = self.log.hashes(row.sequence - 1) if there is None else there
                if next(there, None) not in {row.hash, b""}:
                    raise _forked(self.log, row.sequence, where)
                self.known += 1
                continue
            if row.sequence != last + 1 or (not self.new and row.previous != self.end.hash.encode()):
                problem = f"event {row.sequence}, which does not follow event {last} of {self.log.name}"
                raise Refused((Fault(where, problem, f"the event after it: export it --from {last + 1}"),))
            self.new += 1
            last = row.sequence
            yield row


def _forked(log: LogReader, sequence: int, where: str) -> Refused:
    problem = f"another event {sequence} than {log.name} has"
    return Refused((Fault(where, problem, "the same history: the two have forked"),))


def _begun(
    log: LogReader, lines: Iterator[tuple[int, bytes]], name: str
) -> tuple[CompactedBase | None, Iterator[tuple[int, bytes]]]:
    """Return the base for an empty log, if the first line is one, and the lines of events.

    A log that has events already only compares the base.
    """
    first = next(lines, None)
    if first is None:
        return None, lines
    where = f"{name}:{first[0]}"
    base = _base_of(first[1], where)
    if base is None:
        return None, chain([first], lines)
    if not log.exists or not log.last_sequence():
        return base, lines
    if log.hash_at(base.mark.sequence) != base.mark.hash.encode() and base.mark.sequence >= log.begun().sequence:
        raise _forked(log, base.mark.sequence, where)
    return None, lines


def _base_of(line: bytes, where: str) -> CompactedBase | None:
    """Return the base in a line, None if the line is an event."""
    if not line.startswith(b'{"%s":' % _BEGINS.encode()):
        return None
    try:
        told = _Begins.model_validate_json(line).begins
        state = b"".join(canonical(body_as_json(body_from_json(canonical(each)))) + b"\n" for each in told.state)
    except (ValueError, RecursionError) as error:
        problem = f"found {safe_text(line[:_SHOWN].decode(errors='replace'))}: {safe_text(str(error).splitlines()[0])}"
        raise Refused((Fault(where, problem, "what a compacted log begins with"),)) from None
    return CompactedBase(EventMark(told.sequence, told.hash), told.time, state)


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sequence: Annotated[int, Field(ge=1, le=MAX_SEQUENCE)]
    hash: str
    time: str
    state: list[dict[str, object]]


class _Begins(BaseModel):
    """First line of the export of a compacted log: its base."""

    model_config = ConfigDict(extra="forbid")
    begins: _Told


def _checked(lines: Iterator[tuple[int, bytes]], name: str) -> Iterator[tuple[int, StoredEvent]]:
    """Yield rows with their line numbers; raise ``Refused`` where a row does not follow the one before it."""
    previous: StoredEvent | None = None
    for number, line in lines:
        where = f"{name}:{number}"
        row = _row(line, where)
        if previous is not None and row.sequence != previous.sequence + 1:
            raise Refused((Fault(where, f"event {row.sequence}", f"event {previous.sequence + 1}"),))
        if fault := row.fault(row.previous if previous is None else previous.hash):
            raise Refused((Fault(where, f"event {row.sequence}: {fault}", "the events as they were exported"),))
        previous = row
        yield number, row


def _row(line: bytes, where: str) -> StoredEvent:
    try:
        row = StoredEvent.of_line(line)
        row.event()
    except ValidationError as error:
        raise Refused((Fault(where, str(error.errors()[0]["msg"]), "the body of an event"),)) from None
    except ValueError as error:
        found = safe_text(line[:_SHOWN].decode(errors="replace").rstrip())
        raise Refused((Fault(where, f"found {found}: {error}", "a line of an export"),)) from None
    return row
