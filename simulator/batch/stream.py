"""Evaluates a stream of packets, in batches or one by one, whichever is faster.

`answers` yields an `Evaluation` per `Packet` in order; `judged_wires` takes the bytes of IP packets and yields verdict
columns. Memory use does not grow with the stream. Both raise `Refused` if the ruleset lacks a set or chain or has a
loop.
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
"""Packets that are held at a time."""

FEW = 500
"""Packets that are walked in less time than a ruleset is compiled in: both grow with its rules."""


def answers(
    walker: Walker, packets: Iterable[Packet], hook: Hook | None = None, host: Host | None = None
) -> Iterator[Evaluation]:
    """Yield the answer to each packet in order, each packet for itself, as ``Walker.verdict`` gives it without a trace.

    It is for packets that give their connection state; those whose state follows from packets before are the
    `Tracker`'s. Few packets are walked one by one, many are judged in batches. A packet of a batch is walked after all
    where it comes to a match that reads its payload, counts, remembers or is left to chance, or to a target that
    changes what columns do not tell; where it knows its connection or zone, or lacks a field that its protocol has; and
    where rules changed or logged it, or something had to be assumed. Those answers have a trace.

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
    """Yield packets in order, many at a time; what came before a capture turns out damaged is not lost."""
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
    """Yield the places of packets by the hook that they are judged at."""
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
    """Judge IP bytes of any number, each packet as new at the interfaces given; yield block by block what they are.

    Each reading's columns come with their verdicts, in the same order. Memory does not grow with the number.

    Raises:
        Refused: the ruleset of a packet's family lacks a set or chain, or has a loop.
    """
    remaining = iter(wires)
    while block := list(islice(remaining, BLOCK)):
        reading = columns_of_wires(block, in_interface=in_interface, out_interface=out_interface)
        yield reading, tuple(judges.judge(columns, hook) for columns in reading.columns)
