"""Packets judged a second: a single walk with its trace, and batches, over rulesets of growing size.

The packets are random ones at the edges of what rules name, just inside and just outside: networks and ports.
"""

import random
import struct
from collections import Counter
from collections.abc import Sequence
from ipaddress import IPv4Address
from time import perf_counter

from benchmarks.worlds import NODE, cluster
from engine.compiler import compile_rules
from engine.resolve import resolve
from engine.ruleset import Family, Hook, Ruleset
from simulator.batch import VERDICTS, Judge, columns_of_wires
from simulator.conntrack import Tracker
from simulator.netfilter import Walker
from simulator.packets import from_wire

PEERS = 2
WALKED, JUDGED = 20_000, 1_000_000
SINGLE, BATCHES = 100, (1_000, 5_000, 10_000)

_TCP, _UDP = 6, 17


def main() -> None:
    """Print packets a second of single walks, of batches by size, and how these grow."""
    print(f"verdicts: random packets at the edges of rules with {PEERS} CIDRs each; packets a second")
    walk = _walks()
    print(f"  {'rules':>7}  {'judged':>12}{'to a walk':>10}  {'with reading bytes':>20}{'compiled in':>13}  verdicts")
    speeds = {}
    for rules in BATCHES:
        speeds[rules] = _batch(rules, walk)
    slower = speeds[1_000] / speeds[10_000]
    print(f"  from 1,000 to 10,000 rules a packet costs {slower:.1f} times as much; 10.0 is linear")


def _rules(count: int) -> Ruleset:
    return compile_rules(resolve(cluster(count, PEERS), NODE))


def _walks() -> float:
    """Print what single walks do at their size of ruleset; return the speed with a trace."""
    walker = Walker(_rules(SINGLE))
    wires = _wires(SINGLE, WALKED)
    packets = [from_wire(wire, in_interface="eth0") for wire in wires]
    walker.verdict(packets[0], Hook.INPUT)
    start = perf_counter()
    for packet in packets:
        walker.verdict(packet, Hook.INPUT)
    walk = WALKED / (perf_counter() - start)
    tracker = Tracker()
    start = perf_counter()
    for wire in wires:
        tracker.answer(walker, from_wire(wire, in_interface="eth0"), Hook.INPUT)
    whole = WALKED / (perf_counter() - start)
    print(f"  single walk with trace, {SINGLE} rules: {walk:,.0f}; from bytes and with connections: {whole:,.0f}")
    return walk


def _batch(rules: int, walk: float) -> float:
    """Print what batches do at a size of ruleset; return their speed."""
    judge = Judge(Walker(_rules(rules)), Family.IPV4)
    wires = _wires(rules, JUDGED)
    start = perf_counter()
    judge.judge(columns_of_wires(wires[:100], in_interface="eth0").columns[0], Hook.INPUT)
    compiled = perf_counter() - start
    start = perf_counter()
    (columns,) = columns_of_wires(wires, in_interface="eth0").columns
    read = perf_counter() - start
    start = perf_counter()
    judged = judge.judge(columns, Hook.INPUT)
    took = perf_counter() - start
    speed, whole = JUDGED / took, JUDGED / (took + read)
    counts = Counter(VERDICTS[place] for place in judged.verdicts.tolist())
    fared = ", ".join(f"{verdict} {counts[verdict]:,}" for verdict in sorted(counts))
    print(f"  {rules:>7,}  {speed:>12,.0f}{speed / walk:>9,.0f}x  {whole:>20,.0f}{compiled:>11.1f} s  {fared}")
    return speed


def _wires(rules: int, count: int) -> Sequence[bytes]:
    """Return packets to a node of `cluster`, as bytes without checksums, which nothing here looks at."""
    dice = random.Random(rules)  # noqa: S311 - the same packets in every run
    near = IPv4Address("192.168.0.1").packed
    sources = [
        (10 << 24 | number % 250 << 16 | peer << 8) + step
        for number in range(250)
        for peer in range(PEERS)
        for step in (-1, 0, 3, 4)
    ]
    ports = range(999, 1001 + rules)
    return [
        _wire(dice.choice(sources), near, dice.choice(ports), _TCP if dice.random() < 0.9 else _UDP)
        for _ in range(count)
    ]


def _wire(source: int, destination: bytes, port: int, protocol: int) -> bytes:
    head = struct.pack("!BBHHHBBHI4s", 0x45, 0, 40, 0, 0, 64, protocol, 0, source, destination)
    return head + struct.pack("!HHIIBB6x", 40000, port, 0, 0, 0x50, 0x02)
