"""Test oracle for netfilter: reports where a kernel delivered packets, and by which rules.

A Node with two interfaces is connected to a peer. Packets come from the peer's end of a link, or from raw sockets of
the Node. Each packet carries a number that NAT does not change: the IPv4 identification or the IPv6 flow label. The
number identifies the packet in raw sockets after the INPUT hook, on the link where it leaves, or quoted in a refusal.
With ``iptables-nft``, the matched rules are known too; each rule has its number in a comment.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_interface
from socket import AF_INET6, IPPROTO_IPV6, SO_MARK, SOL_SOCKET, inet_pton, socket
from types import TracebackType
from typing import Self

from adapters.lab.netns import configure
from adapters.lab.packet_injection import _frame, _one_cpu
from adapters.system.process import SystemRunner
from engine.rulesets.model import Family, Hook, Ruleset
from engine.rulesets.text import parse_sets, parse_tables
from simulator.context import Host, Route
from simulator.netfilter import Walker
from simulator.packets import Address, Packet, from_wire
from tests.support.kernel.forwarding_node import Forwarder
from tests.support.kernel.rule_traces import Step, Traces
from tests.support.packets.packet_drafts import RESERVED, Draft
from tests.support.rulesets.random_rulesets import World

ETH0, ETH1 = "eth0", "eth1"
LOCAL_MARK = 0x80000000
"""Packet mark of raw sockets of the Node; packets that the kernel sends by itself lack it."""

ADMIN = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}

FORWARDING: Mapping[str, str] = {
    "ipv4/ip_forward": "1",
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/eth0/send_redirects": "0",
    "ipv4/conf/eth1/send_redirects": "0",
    "ipv6/conf/all/forwarding": "1",
    "ipv6/auto_flowlabels": "0",  # so that packets of the kernel itself have no number
}
RIGHT = {Family.IPV4: "203.0.113.0/24", Family.IPV6: "2001:db8:2::/64"}
"""Networks behind eth1; every other address is behind eth0."""

OWN = {ETH0: ("192.0.2.2/32", "2001:db8::2/128"), ETH1: ("192.0.2.9/32", "2001:db8::9/128")}

HOST = Host(
    {name: tuple(ip_interface(text) for text in texts) for name, texts in OWN.items()},
    (
        *(Route(ip_interface(text).network, ETH1) for text in RIGHT.values()),
        *(Route(ip_interface(text).network, name) for name in (ETH0, ETH1) for text in ("0.0.0.0/0", "::/0")),
    ),
)
"""Host facts of the Node for the simulator."""

IPV6_CONTROL = {"pktinfo": (49, 50), "hops": (51, 52), "class": (66, 67), "flow": (11, 11)}
"""Header fields that raw IPv6 sockets report: the socket option that enables each, and its message type."""

Seen = tuple[str, Address | None, Address | None, int | None, int | None, int, int]
"""Where a packet arrived, and its header fields.

The fields are: an interface, ``input``, ``refused`` or empty; addresses; ports or ICMP identifier; hop limit; TOS.
"""


@dataclass(frozen=True, slots=True)
class Shot:
    """Bytes of a packet and its start: PREROUTING with an interface, or OUTPUT with a mark."""

    data: bytes
    hook: Hook
    interface: str = ETH0
    mark: int = LOCAL_MARK


@dataclass(frozen=True, slots=True)
class Followed:
    """Result of a packet: ``did`` is its arrival, ``path`` the matched rules if traced.

    ``port`` is its source port or ICMP identifier when last seen, on ``lo`` too.
    """

    did: Seen
    path: list[Step] | None
    port: int | None


NOWHERE: Seen = ("", None, None, None, None, 0, 0)


def seen_as(where: str, packet: Packet) -> Seen:
    """Return the compared fields of a packet that arrived at ``where``."""
    first = packet.icmp_id if packet.sport is None else packet.sport
    return where, packet.src, packet.dst, first, packet.dport, packet.ttl, packet.tos


class Crossing(Forwarder):
    """Node that forwards between two interfaces."""

    def __init__(self, *, traced: bool) -> None:
        super().__init__([text.partition("/")[0] for text in OWN[ETH0]], (ETH0, ETH1))
        self._traced = traced
        self._traces: Traces | None = None
        self._looped: dict[int, int | None] = {}

    def __enter__(self) -> Self:
        super().__enter__()
        if self._traced:
            self._traces = Traces(self.netns, number_of)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._traces is not None:
            self._traces.close()
        super().__exit__(kind, error, trace)

    def begin(self, family: Family) -> None:
        """Delete all connections, and read the current rules of a family."""
        self.forget()
        if self._traces is not None:
            self._traces.learn(family)
            self._traces.read()

    def _build(self) -> None:
        super()._build()
        configure(self.netns, FORWARDING)
        lines = [f"addr add {text} dev {ETH1}{' nodad' * (':' in text)}" for text in OWN[ETH1]]
        lines += [
            f"route add {RIGHT[Family.IPV4]} via 169.254.0.1 dev {ETH1} onlink",
            f"route add {RIGHT[Family.IPV6]} via fe80::1 dev {ETH1} onlink",
        ]
        self._namespaces.batch(lines, "node")

    def follow(self, shots: Sequence[Shot]) -> list[Followed]:
        """Return where each packet arrived and, if traced, its matched rules; the packet numbers must be unique."""
        for shot in shots:
            for version, protocol in _heard_as(shot):
                self._listen_fully(version, protocol)
        with _one_cpu():
            for shot in shots:
                self._fire(shot)
            frames, refusals = self._barrier()
        arrived = self._arrived()
        paths = self._traces.read() if self._traces is not None else None
        results: list[Followed] = []
        for number in (number_of(shot.data) for shot in shots):
            where = arrived.get(number) or frames.get(number) or NOWHERE
            if where == NOWHERE and number in refusals:
                where = ("refused", *NOWHERE[1:])
            port = self._looped.get(number) if where[3] is None else where[3]
            results.append(Followed(where, None if paths is None else paths.get(number, []), port))
        return results

    def _fire(self, shot: Shot) -> None:
        if shot.hook is Hook.PREROUTING:
            self._wires[shot.interface].send(_frame(shot.data))
            return
        out = self._out[shot.data[0] >> 4, ""]
        out.setsockopt(SOL_SOCKET, SO_MARK, struct.pack("I", shot.mark))  # too large for a signed int
        dst = from_wire(shot.data).dst
        with suppress(PermissionError):
            out.sendto(shot.data, (str(dst), 0))

    def _barrier(self) -> tuple[dict[int, Seen], set[int]]:
        """Wait until the kernel is done; return the packets that left by an interface, and the refused numbers."""
        looped, passed = self._passed()
        refused = {number for data in (*looped, *(data for _, data in passed)) for number in _refused_by(data)}
        self._looped = {number: seen_as("lo", from_wire(data))[3] for data in looped if (number := number_of(data))}
        left: dict[int, Seen] = {}
        for name, data in passed:
            left.setdefault(number_of(data), seen_as(name, from_wire(data)))
        return left, refused

    def _listen_fully(self, version: int, protocol: int) -> None:
        known = (version, protocol) in self._ears
        self._listen(version, protocol)
        if version == 6 and not known:
            for ask, _ in IPV6_CONTROL.values():
                self._ears[version, protocol].setsockopt(IPPROTO_IPV6, ask, 1)

    def _arrived(self) -> dict[int, Seen]:
        """Return the packets that raw sockets of the Node received, by number."""
        arrived: dict[int, Seen] = {}
        for (version, protocol), ear in self._ears.items():
            for data in _heard(ear, version, protocol):
                arrived[number_of(data)] = seen_as("input", from_wire(data))
        return arrived


def number_of(data: bytes) -> int:
    """Return the number of a packet; 0 if no test sent it."""
    if data[0] >> 4 == 6:
        return int.from_bytes(data[:4]) & 0xFFFFF
    return int.from_bytes(data[4:6]) if data[6] & RESERVED >> 8 else 0


def _heard_as(shot: Shot) -> Iterator[tuple[int, int]]:
    packet = from_wire(shot.data)
    yield packet.src.version, packet.protocol


def _refused_by(data: bytes) -> Iterator[int]:
    """Yield the number of the packet that this packet refuses, if any."""
    if number_of(data):  # a test packet itself
        return
    with suppress(Exception):  # other packets are no refusals
        packet = from_wire(data)
        start = (data[0] & 0xF) * 4 if data[0] >> 4 == 4 else 40
        if packet.protocol == 6 and "RST" in packet.flags:
            sequence, acknowledged = struct.unpack_from("!II", data, start + 4)
            yield (acknowledged if "ACK" in packet.flags and acknowledged else sequence) >> 8
        elif packet.icmp and (packet.protocol, packet.icmp[0]) in {(1, 3), (58, 1)}:
            yield number_of(data[start + 8 :])


def _heard(ear: socket, version: int, protocol: int) -> Iterator[bytes]:
    """Yield whole packets; the header of an IPv6 packet is rebuilt from the kernel's ancillary data."""
    with suppress(BlockingIOError):  # no more packets
        while True:
            data, ancillary, _flags, sender = ear.recvmsg(0xFFFF, 512)
            if version == 4:
                yield data
                continue
            told = {kind: value for _level, kind, value in ancillary}
            flow = int.from_bytes(told.get(IPV6_CONTROL["flow"][1], bytes(4))) & 0xFFFFF
            hops, tos = (int.from_bytes(told[IPV6_CONTROL[name][1]], "little") for name in ("hops", "class"))
            source = inet_pton(AF_INET6, sender[0].partition("%")[0])
            header = struct.pack("!IHBB", 6 << 28 | tos << 20 | flow, len(data), protocol, hops)
            yield header + source + told[IPV6_CONTROL["pktinfo"][1]][:16] + data


def loaded(rig: Crossing, world: World, backend: str) -> tuple[Walker, Ruleset]:
    """Load a ruleset, and return its simulator and the ruleset that the tools then print."""
    runner = SystemRunner(rig.netns)
    runner.run(["ipset", "restore"], world.sets).or_refused("ipset")
    program = f"{ADMIN[world.family]}-{backend}"
    runner.run([f"{program}-restore"], world.rules).or_refused(program)
    tables = parse_tables(runner.run([f"{program}-save"]).or_refused(program))
    sets = parse_sets(runner.run(["ipset", "save"]).or_refused("ipset"))
    rules = Ruleset(sets=sets, **{world.family.value.lower(): tables})
    rig.begin(world.family)
    return Walker(rules), rules


def shot_of(draft: Draft, number: int) -> Shot:
    """Return the draft's packet with its start, which the source address determines."""
    if HOST.is_local(draft.src):
        return Shot(draft.wire(number), Hook.OUTPUT, mark=LOCAL_MARK | draft.mark)
    return Shot(draft.wire(number), Hook.PREROUTING, HOST.route_interface(draft.src) or ETH0)
