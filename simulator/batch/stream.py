"""Evaluation of a stream of packets of any length, with the batch engine or one by one, whichever is faster.

`answers` takes `Packet` values and yields an `Evaluation` for each, in order. `judged_wires` takes IP packets as bytes
and yields columns of verdicts. Memory use does not grow with the length of the stream.

Raises `Refused` if a rule refers to a missing set or chain, or if jumps form a loop.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from engine.errors import Refused
from engine.rulesets.model import Hook
from simulator.batch.columns import columns_of
from simulator.batch.evaluator import BLOCK, VERDICTS, BatchEvaluators, BatchVerdicts
from simulator.batch.wire_columns import WireColumns, columns_of_wires
from simulator.context import Host, PacketContext
from simulator.netfilter import Evaluation, Walker
from simulator.netfilter.walker import hook_of
from simulator.packets import Packet

CHUNK = 50_000
"""Packets that are held in memory at a time."""

FEW = 500
"""Below this number of packets the `Walker` is faster than compiling the ruleset; both times grow with the rules."""


def answers(
    walker: Walker, packets: Iterable[Packet], hook: Hook | None = None, host: Host | None = None
) -> Iterator[Evaluation]:
    """Yield the evaluation of each packet in order, as ``Walker.verdict`` returns it without a trace.

    Each packet is evaluated on its own, so it must give its connection state; `ConnectionTracker` evaluates packets
    whose state follows from earlier ones. Few packets are evaluated one by one, many in batches. A packet of a batch
    goes to the `Walker`, and its evaluation has a trace, if one of these is true:

    - It meets a match that reads the payload, counts, remembers or is random.
    - It meets a target that changes a field that columns do not hold.
    - It gives its connection or zone, or lacks a field that its protocol has.
    - A rule rewrote or logged it, or an assumption is needed.

    Raises:
        Refused: the ruleset of a packet's family lacks a set or chain, or has a loop.
    """
    judges = BatchEvaluators(walker, host)
    for chunk in _chunks(packets):
        if len(chunk) < FEW:
            yield from (walker.verdict(packet, hook, PacketContext(host)) for packet in chunk)
        else:
            yield from _chunk(judges, chunk, hook)


def _chunks(packets: Iterable[Packet]) -> Iterator[Sequence[Packet]]:
    """Yield packets in order, in chunks.

    If the source raises `Refused`, as for a damaged capture, the packets before it are yielded first.
    """
    chunk: list[Packet] = []
    try:
        for packet in packets:
            chunk.append(packet)
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
    except Refused:
        yield chunk
        raise
    yield chunk


def _chunk(judges: BatchEvaluators, packets: Sequence[Packet], hook: Hook | None) -> Iterator[Evaluation]:
    found: list[Evaluation | None] = [None] * len(packets)
    for at, places in _by_hook(packets, hook):
        for columns in columns_of([packets[place] for place in places], places):
            judged = judges.judge(columns, at, walk=False)
            singly = judged.walked | judged.told
            for row, place in enumerate(columns.at.tolist()):
                if not singly[row]:
                    end, packet = judged.end(row), packets[place]
                    verdict = VERDICTS[judged.verdicts[row]]
                    decider, how = (end.decision, end.reject_with) if end else (None, None)
                    found[place] = Evaluation(packet, at, verdict, packet, how, decider)
    for packet, answer in zip(packets, found, strict=True):
        yield answer or judges.walker.verdict(packet, hook, PacketContext(judges.host))


def _by_hook(packets: Sequence[Packet], hook: Hook | None) -> Iterator[tuple[Hook, Sequence[int]]]:
    """Yield each hook with the indexes of the packets that are evaluated there."""
    if hook is not None:
        yield hook, range(len(packets))
        return
    places: dict[Hook, list[int]] = {}
    for place, packet in enumerate(packets):
        places.setdefault(hook_of(packet), []).append(place)
    yield from places.items()


def judged_wires(
    judges: BatchEvaluators, wires: Iterable[bytes], hook: Hook, *, in_interface: str = "", out_interface: str = ""
) -> Iterator[tuple[WireColumns, tuple[BatchVerdicts, ...]]]:
    """Evaluate any number of IP packets, given as bytes, as new packets at these interfaces.

    Yields the verdicts block by block with the columns, in order. Memory use does not depend on the number of packets.

    Raises:
        Refused: the ruleset of a packet's family lacks a set or chain, or has a loop.
    """
    remaining = iter(wires)
    while block := list(islice(remaining, BLOCK)):
        reading = columns_of_wires(block, in_interface=in_interface, out_interface=out_interface)
        yield reading, tuple(judges.judge(columns, hook) for columns in reading.columns)
