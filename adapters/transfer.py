"""Events from log to log as JSON Lines, byte by byte as they are stored, with every hash checked."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import IO

from pydantic import ValidationError

from adapters.eventlog import LogUnusable, SqliteLog
from adapters.logrows import Row
from engine.errors import Fault, LogError, Refused, shown
from engine.events import GENESIS

_LONGEST = 1 << 26
"""Bytes of a line; what is longer is no event."""

_GROUP = 10_000
"""Events that are on disk together."""

_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Imported:
    """How many events came, and how many were there already."""

    new: int
    known: int


def exported(log: SqliteLog, after: int = 0, until: int | None = None) -> Iterator[bytes]:
    """Yield the events ``after < sequence <= until`` as lines, oldest first.

    Raises:
        LogCorrupt: at the first event, from the very first on, that the chain does not vouch for.
    """
    return (row.line() for row in log.rows(after, until))


def branched(log: SqliteLog, new: SqliteLog, until: int | None = None) -> int:
    """Append the events of a log up to a sequence to one that is not there yet, and return the last sequence.

    Raises:
        LogUnusable: the new one is there already, or cannot be made.
        LogError: the log cannot be read, or an event cannot be trusted; what was made of the new one is gone.
    """
    if new.exists:
        raise LogUnusable(new.path, "there is something already")
    last = 0
    try:
        rows = log.rows(until=until)
        while group := list(islice(rows, _GROUP)):
            new.adopt(group, expected=last)
            last = group[-1].sequence
    except LogError:
        new.discard()
        raise
    return last


def imported(log: SqliteLog, lines: IO[bytes], name: str) -> Imported:
    """Append the events of lines that a log lacks; those that it has must be the same.

    They are appended in large groups, each whole or not at all, so that an import that was cut off can go on.

    Raises:
        Refused: a line is none of an event, does not follow the one before it, or is of another history.
        LogError: the log cannot be written.
    """
    last = log.last_sequence() if log.exists else 0
    known, group, begun = 0, list[Row](), last
    there = iter(list[bytes]())
    for number, row in _checked(lines, name):
        where = f"{name}:{number}"
        if row.sequence <= begun:
            there = log.hashes(row.sequence - 1) if number == 1 else there
            if next(there, None) != row.hash:
                problem = f"another event {row.sequence} than {log.path} has"
                raise Refused((Fault(where, problem, "the same history: the two have forked"),))
            known += 1
            continue
        if row.sequence != last + 1 or (last == begun and row.previous != _end_of(log, last)):
            problem = f"event {row.sequence}, which does not follow event {last} of {log.path}"
            raise Refused((Fault(where, problem, f"the event after it: export it --from {last + 1}"),))
        group.append(row)
        last = row.sequence
        if len(group) == _GROUP:
            log.adopt(group, expected=last - len(group))
            group.clear()
    if group:
        log.adopt(group, expected=last - len(group))
    return Imported(last - begun, known)


def _checked(lines: IO[bytes], name: str) -> Iterator[tuple[int, Row]]:
    """Yield rows with the numbers of their lines, each of which follows the one before it."""
    previous: Row | None = None
    for number, line in enumerate(_lines(lines), 1):
        where = f"{name}:{number}"
        row = _row(line, where)
        if previous is not None and row.sequence != previous.sequence + 1:
            raise Refused((Fault(where, f"event {row.sequence}", f"event {previous.sequence + 1}"),))
        if fault := row.fault(row.previous if previous is None else previous.hash):
            raise Refused((Fault(where, f"event {row.sequence}: {fault}", "the events as they were exported"),))
        previous = row
        yield number, row


def _lines(lines: IO[bytes]) -> Iterator[bytes]:
    while line := lines.readline(_LONGEST):
        yield line


def _row(line: bytes, where: str) -> Row:
    try:
        row = Row.of_line(line)
        row.event()
    except ValidationError as error:
        raise Refused((Fault(where, str(error.errors()[0]["msg"]), "the body of an event"),)) from None
    except ValueError as error:
        found = shown(line[:_SHOWN].decode(errors="replace").rstrip())
        raise Refused((Fault(where, f"found {found}: {error}", "a line of an export"),)) from None
    return row


def _end_of(log: SqliteLog, last: int) -> bytes:
    return next(log.hashes(last - 1)) if last else GENESIS.encode()
