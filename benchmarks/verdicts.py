"""Benchmark of verdicts per second: single walks with trace, and batches, over growing rulesets.

Packets are random ones at the edges of the networks and ports that rules name.
"""

import random
import struct
from collections import Counter
from collections.abc import Sequence
from ipaddress import IPv4Address
from itertools import pairwise
from time import perf_counter

from benchmarks.support.clusters import NODE, cluster
from engine.compiler import compile_rules
from engine.policy.resolve import resolve
from engine.rulesets.model import Hook, Ruleset
from simulator.batch import VERDICTS, BatchEvaluators, BatchVerdicts, columns_of_wires, judged_wires
from simulator.conntrack import ConnectionTracker
from simulator.netfilter import Evaluation, Walker
from simulator.packets import from_wire

PEERS = 2
WALKED, COMPARED, JUDGED = 20_000, 300, 1_000_000
SINGLE, BATCHES = 100, (1_000, 5_000, 10_000)

_TCP, _UDP = 6, 17


def main() -> None:
    """Print packets per second of single walks and of batches by size, and how both grow."""
    print(f"verdicts: packets a second, aimed at the edges of rules with {PEERS} CIDRs each")
    _singly()
    print(
        f"  {'rules':>7}{'walked':>10}{'in batches':>14}{'ratio':>9}{'read and judged':>18}{'made ready':>12}  verdicts"
    )
    costs = [_batch(rules) for rules in BATCHES]
    print(f"  growth from {BATCHES[0]:,} to {BATCHES[-1]:,} rules: {costs[-1] / costs[0]:.1f}; 10.0 is linear")


def _rules(count: int) -> Ruleset:
    return compile_rules(resolve(cluster(count, PEERS, ("Allow", "Drop", "Reject")), NODE))


def _singly() -> None:
    """Print the rate of single walks, alone and with parsing and connection tracking."""
    walker, wires = Walker(_rules(SINGLE)), _wires(SINGLE, WALKED)
    packets = [from_wire(wire, in_interface="eth0") for wire in wires]
    walker.verdict(packets[0], Hook.INPUT)
    start = perf_counter()
    for packet in packets:
        walker.verdict(packet, Hook.INPUT)
    walk = WALKED / (perf_counter() - start)
    tracker = ConnectionTracker()
    start = perf_counter()
    for wire in wires:
        tracker.answer(walker, from_wire(wire, in_interface="eth0"), Hook.INPUT)
    whole = WALKED / (perf_counter() - start)
    print(f"  single walks with trace, {SINGLE} rules: {walk:,.0f}; from bytes, following connections: {whole:,.0f}")


def _batch(rules: int) -> float:
    """Print the rate of batches for a number of rules; return the seconds of one batch."""
    walker, wires = Walker(_rules(rules)), _wires(rules, JUDGED)
    judges = BatchEvaluators(walker)
    (few,) = columns_of_wires(wires[:COMPARED], in_interface="eth0").columns
    (columns,) = columns_of_wires(wires, in_interface="eth0").columns
    marks = [perf_counter()]
    judges.judge(few, Hook.INPUT)
    marks.append(perf_counter())
    answers = [walker.verdict(few.packet(row), Hook.INPUT) for row in range(COMPARED)]
    marks.append(perf_counter())
    judged = judges.judge(columns, Hook.INPUT)
    marks.append(perf_counter())
    for _ in judged_wires(judges, wires, Hook.INPUT, in_interface="eth0"):
        pass
    marks.append(perf_counter())
    ready, walking, judging, all_of_it = (after - before for before, after in pairwise(marks))
    _compare(judged, answers)
    walk, batch, whole = COMPARED / walking, JUDGED / judging, JUDGED / all_of_it
    counts = Counter(VERDICTS[place] for place in judged.verdicts.tolist())
    fared = ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in sorted(counts))
    print(f"  {rules:>7,}{walk:>10,.0f}{batch:>14,.0f}{batch / walk:>8,.0f}x{whole:>18,.0f}{ready:>10.1f} s  {fared}")
    return judging


def _compare(judged: BatchVerdicts, answers: Sequence[Evaluation]) -> None:
    """Check that batches and single walks give equal verdicts and deciding rules."""
    for row, answer in enumerate(answers):
        end = judged.end(row)
        if end is None or (end.verdict, end.decision) != (answer.verdict, answer.decided_by):
            raise SystemExit(f"a batch says {end}, a walk {answer}")


def _wires(rules: int, count: int) -> Sequence[bytes]:
    """Return packets to a node of `cluster`, as bytes without checksums, which nothing here reads."""
    dice = random.Random(rules)  # noqa: S311 - the same packets in every run
    near = IPv4Address("192.168.0.1").packed
    return [_wire(dice, dice.randrange(rules), near) for _ in range(count)]


def _wire(dice: random.Random, number: int, destination: bytes) -> bytes:
    """Return a packet for a policy of `cluster`: to its port or the next, and from the edges of a CIDR."""
    source = (10 << 24 | number % 250 << 16 | dice.randrange(PEERS) << 8) + dice.choice((-1, 0, 3, 4))
    port, protocol = 1000 + number + dice.choice((0, 0, 1)), dice.choice((_TCP, _TCP, _TCP, _UDP))
    head = struct.pack("!BBHHHBBHI4s", 0x45, 0, 40, 0, 0, 64, protocol, 0, source, destination)
    return head + struct.pack("!HHIIBB6x", 40000, port, 0, 0, 0x50, 0x02)
