"""Program that kills writers of a log at random times, one after the other, and checks the log after each.

It runs in a separate process, because it forks, which is not safe in a process with threads.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator

from adapters.eventlog.compaction import compacted
from adapters.eventlog.sqlite import SqliteLog
from adapters.system.clock import SystemClock, SystemIds
from engine.events import EventMark, deletion_of
from tests.support.seeds import seeded

_LONGEST = 0.02
"""Longest life of a writer, in seconds."""


def write(log: SqliteLog, acknowledged: int, seed: int, *, compacting: bool) -> None:
    """Append events without end, and write each acknowledged sequence to a pipe; optionally compact the log."""
    dice, last = seeded(seed), log.last_sequence()
    while True:
        bodies = [deletion_of("Node", "n" * dice.choice((1, 100, 10_000))) for _ in range(dice.randint(1, 4))]
        last = log.append(bodies, source="test", expected=last)[-1].sequence
        os.write(acknowledged, last.to_bytes(8))
        if compacting and dice.random() < 0.3:
            compacted(log, last - dice.randint(0, 3), None, "test")
            last = log.last_sequence()


def told(reader: int) -> Iterator[int]:
    """Yield the sequences that a writer acknowledged."""
    while found := os.read(reader, 8):
        yield int.from_bytes(found)


def main(path: str, count: int, *, compacting: bool) -> None:
    """Kill ``count`` writers; raise AssertionError if an acknowledged event is lost or an event is incomplete."""
    log, dice = SqliteLog(path, SystemClock(), SystemIds()), seeded(count)
    (newest,) = log.append([deletion_of("Node", "first")], source="test", expected=0)
    cut = 0
    for number in range(count):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            write(log, writer, number, compacting=compacting)
        os.close(writer)
        time.sleep(dice.uniform(0, _LONGEST))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        acknowledged = max(told(reader), default=newest.sequence)
        os.close(reader)
        begun = max(log.base().mark, EventMark(newest.sequence, newest.hash))
        newest = [newest, *log.tail(begun)][-1]  # tail verifies each event
        assert newest.sequence >= acknowledged, (number, newest.sequence, acknowledged)
        cut += newest.sequence > acknowledged
        log.verify_base()
    assert log.verify() == newest.sequence - log.base().mark.sequence
    begun = log.base().mark
    sys.stdout.write(
        f"{count} writers killed, {newest.sequence} events, {begun.sequence} of them compacted, "
        f"{cut} killed before they told of an append\n"
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), compacting=sys.argv[3:] == ["compacting"])
