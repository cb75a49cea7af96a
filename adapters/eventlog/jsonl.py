"""Events from log to log as JSON Lines, byte by byte as they are stored, with every hash checked."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import IO, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.bounded_json import MAX_BYTES, parse_json
from engine.errors import Fault, LogError, LogUnusable, Refused, shown
from engine.events import (
    BEGINNING,
    GENESIS,
    CompactedBase,
    EventMark,
    StoredEvent,
    body_as_json,
    body_from_json,
    canonical,
)
from engine.reconcile.interfaces import LogReader, LogReplica

_GROUP = 10_000
"""Events that are on disk together."""

_SHOWN = 40


@dataclass(frozen=True, slots=True)
class ImportResult:
    """How many events came, and how many were there already."""

    new: int
    known: int


def exported(log: LogReader, after: int = 0, until: int | None = None) -> Iterator[bytes]:
    """Yield the events ``after < sequence <= until`` as lines, oldest first; before them what a log begins with.

    Raises:
        LogCorrupt: at the first event, from the very first on, that the chain does not vouch for.
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
"""The key of the line that a compacted log begins with."""


def branched(log: LogReader, new: LogReplica, until: int | None = None) -> int:
    """Append the events of a log up to a sequence to one that is not there yet, and return the last sequence.

    Raises:
        LogUnusable: the new one is there already, or cannot be made.
        LogError: the log cannot be read, or an event cannot be trusted; what was made of the new one is gone.
    """
    if new.exists:
        raise LogUnusable(new.name, "there is something already")
    last = 0
    try:
        base = log.base(until)
        if base.mark != BEGINNING:
            new.begin_with(base)
            last = base.mark.sequence
        rows = log.rows(until=until)
        while group := list(islice(rows, _GROUP)):
            new.adopt(group, expected=last)
            last = group[-1].sequence
    except LogError:
        new.discard()
        raise
    return last


def imported(log: LogReplica, lines: IO[bytes], name: str) -> ImportResult:
    """Append the events of lines that a log lacks; those that it has must be the same.

    They are appended in large groups, each whole or not at all, so that an import that was cut off can go on.

    Raises:
        Refused: a line is none of an event, does not follow the one before it, or is of another history.
        LogError: the log cannot be written, or what it begins with is not on record.
    """
    numbered = _begun(log, enumerate(iter(partial(lines.readline, MAX_BYTES), b""), 1), name)
    last = begun = log.last_sequence() if log.exists else 0
    known, group = 0, list[StoredEvent]()
    there: Iterator[bytes] | None = None
    for number, row in _checked(numbered, name):
        where = f"{name}:{number}"
        if row.sequence <= begun:
            there = log.hashes(row.sequence - 1) if there is None else there
            if next(there, None) not in {row.hash, b""}:
                raise _forked(log, row.sequence, where)
            known += 1
            continue
        if row.sequence != last + 1 or (last == begun and row.previous != _end_of(log, last)):
            problem = f"event {row.sequence}, which does not follow event {last} of {log.name}"
            raise Refused((Fault(where, problem, f"the event after it: export it --from {last + 1}"),))
        group.append(row)
        last = row.sequence
        if len(group) == _GROUP:
            log.adopt(group, expected=last - len(group))
            group.clear()
    if group:
        log.adopt(group, expected=last - len(group))
    if last > begun:
        log.verify_base()
    return ImportResult(last - begun, known)


def _forked(log: LogReader, sequence: int, where: str) -> Refused:
    problem = f"another event {sequence} than {log.name} has"
    return Refused((Fault(where, problem, "the same history: the two have forked"),))


def _begun(log: LogReplica, lines: Iterator[tuple[int, bytes]], name: str) -> Iterator[tuple[int, bytes]]:
    """Return the lines of events; where there is one before them of what a log begins with, have this one do so too."""
    first = next(lines, None)
    if first is None:
        return lines
    where = f"{name}:{first[0]}"
    base = _base_of(first[1], where)
    if base is None:
        return chain([first], lines)
    if not log.exists or not log.last_sequence():
        log.begin_with(base)
    elif log.hash_at(base.mark.sequence) != base.mark.hash.encode() and base.mark.sequence >= log.begun().sequence:
        raise _forked(log, base.mark.sequence, where)
    return lines


def _base_of(line: bytes, where: str) -> CompactedBase | None:
    """Return what a line says that a log begins with, None where it is one of an event."""
    if not line.startswith(b'{"%s":' % _BEGINS.encode()):
        return None
    try:
        told = _Begins.model_validate_json(line).begins
        state = b"".join(canonical(body_as_json(body_from_json(canonical(each)))) + b"\n" for each in told.state)
    except (ValueError, RecursionError) as error:
        problem = f"found {shown(line[:_SHOWN].decode(errors='replace'))}: {shown(str(error).splitlines()[0])}"
        raise Refused((Fault(where, problem, "what a compacted log begins with"),)) from None
    return CompactedBase(EventMark(told.sequence, told.hash), told.time, state)


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sequence: Annotated[int, Field(ge=1)]
    hash: str
    time: str
    state: list[dict[str, object]]


class _Begins(BaseModel):
    """The line that the export of a compacted log begins with."""

    model_config = ConfigDict(extra="forbid")
    begins: _Told


def _checked(lines: Iterator[tuple[int, bytes]], name: str) -> Iterator[tuple[int, StoredEvent]]:
    """Yield rows with the numbers of their lines, each of which follows the one before it."""
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
        found = shown(line[:_SHOWN].decode(errors="replace").rstrip())
        raise Refused((Fault(where, f"found {found}: {error}", "a line of an export"),)) from None
    return row


def _end_of(log: LogReader, last: int) -> bytes:
    return log.hash_at(last) if last else GENESIS.encode()
