"""Router whose kernel shows where each packet went: to a program, out of an interface, or refused.

Each packet carries a number that no rule rewrites: in its payload, and in the TCP sequence numbers, which an RST
returns.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network
from socket import AF_INET6, inet_pton, socket

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6Unknown, IPv6
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Packet as Layer
from scapy.packet import Raw

from adapters.lab.netns import configure
from adapters.lab.packet_injection import GATEWAY_MAC, WINDOW, _frame, _one_cpu
from engine.ip_types import Address
from engine.rulesets.model import Family
from simulator.context import Host, Route
from simulator.packets import Packet, from_wire, protocol_names, to_wire
from tests.support.kernel.forwarding_node import Forwarder

Links = Mapping[str, Sequence[str]]
"""Interfaces of a router in order; each has addresses, and the networks behind it with a ``>`` before each."""

FORWARDING: Mapping[str, str] = {
    "ipv4/ip_forward": "1",
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
    "ipv6/conf/all/forwarding": "1",
}
MAGIC = b"NWnr"
"""Bytes before the number of a packet."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Arrival of a packet: an interface, ``input``, ``refused`` or empty, with its addresses and ports there."""

    where: str = ""
    src: Address | None = None
    dst: Address | None = None
    sport: int | None = None
    dport: int | None = None


def seen_as(where: str, packet: Packet) -> Seen:
    """Return the arrival of a packet at ``where``."""
    return Seen(where, packet.src, packet.dst, packet.sport, packet.dport)


def host_of(links: Links) -> Host:
    """Return the router's host facts for the simulator; default routes use its first interface before the others."""
    words = [(name, text) for name, texts in links.items() for text in texts]
    addresses = {
        name: tuple(ip_interface(text) for owner, text in words if owner == name and not text.startswith(">"))
        for name in links
    }
    routes = [Route(ip_network(text[1:]), name) for name, text in words if text.startswith(">")]
    rest = [Route(ip_network(text), name) for name in links for text in ("0.0.0.0/0", "::/0")]
    return Host(addresses, (*routes, *rest))


def numbered(packet: Packet, number: int) -> Packet:
    """Return the packet with its bytes, which contain a number."""
    src, dst = str(packet.src), str(packet.dst)
    if packet.family is Family.IPV4:
        header: Layer = IP(src=src, dst=dst, ttl=packet.ttl, proto=packet.protocol)
    else:
        header = IPv6(src=src, dst=dst, hlim=packet.ttl, nh=packet.protocol)
    data = bytes(header / _payload(packet, MAGIC + struct.pack("!I", number), number))
    mac = GATEWAY_MAC.hex(":") if packet.in_interface else None
    return from_wire(data, in_interface=packet.in_interface, out_interface=packet.out_interface, mac=mac)


def _payload(packet: Packet, tag: bytes, number: int) -> Layer:
    sport, dport = packet.sport, packet.dport
    if packet.protocol == protocol_names.TCP:
        flags = "".join(flag[0] for flag in packet.flags)
        return TCP(sport=sport, dport=dport, flags=flags, seq=number << 8, ack=number << 8) / Raw(tag)
    if packet.protocol == protocol_names.UDP:
        return UDP(sport=sport, dport=dport) / Raw(tag)
    if packet.protocol == protocol_names.SCTP:
        first, second = struct.unpack("!II", tag)
        return SCTP(sport=sport, dport=dport) / SCTPChunkInit(init_tag=first, a_rwnd=second)
    if packet.icmp is None:
        # REJECT answers only packets with a right checksum, which includes the addresses in IPv6.
        pseudo = struct.pack("!II", 16, packet.protocol) + packet.src.packed + packet.dst.packed
        counted = tag if packet.family is Family.IPV4 else tag + pseudo
        return Raw(bytes(6) + _checksum(counted) + tag)
    kind, code = packet.icmp
    body = to_wire(packet.inner) if packet.inner else b""
    rest = bytes(4) if packet.inner else struct.pack("!HH", packet.icmp_id or 0, 0)
    if packet.family is Family.IPV6:
        return ICMPv6Unknown(type=kind, code=code, msgbody=rest + body + tag)
    layer = ICMP(type=kind, code=code)
    whole = bytes(layer)[:4] + rest + body + tag
    return Raw(whole[:2] + _checksum(whole[:2] + bytes(2) + whole[4:]) + whole[4:])


def _checksum(data: bytes) -> bytes:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", total ^ 0xFFFF)


class Router(Forwarder):
    """Node that forwards between all its interfaces."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self.host = host_of(links)
        first = next(iter(links))
        super().__init__([str(each.ip) for each in self.host.addresses[first]], tuple(links))

    def _build(self) -> None:
        super()._build()
        configure(self.netns, {**FORWARDING, **{f"ipv4/conf/{name}/send_redirects": "0" for name in self.interfaces}})
        self._namespaces.batch(self._lines(), "node")

    def _lines(self) -> Iterator[str]:
        for name in self.interfaces[1:]:
            for each in self.host.addresses[name]:
                yield f"addr add {each.ip} dev {name}{' nodad' * (each.version == 6)}"
        for route in self.host.routes:
            if route.network.prefixlen:
                gateway = "169.254.0.1" if route.network.version == 4 else "fe80::1"
                yield f"route add {route.network} via {gateway} dev {route.interface} onlink"

    def follow(self, packets: Sequence[Packet], first: int = 1) -> list[Seen]:
        """Return where each packet arrived, in order; ``first`` is the number of the first packet."""
        for packet in packets:
            self._listen(packet.src.version, packet.protocol)
            if packet.in_interface and packet.dst.is_multicast:
                self._join(packet.dst.packed)
        found: dict[int, Seen] = {}
        with _one_cpu():
            for start in range(0, len(packets), WINDOW):
                for packet in packets[start : start + WINDOW]:
                    self._fire(packet)
                left, refused = self._barrier()
                # A program's answer is no refusal, so packets that arrived or left take precedence.
                found = {**dict.fromkeys(refused, Seen("refused")), **found, **left, **self._arrived()}
        return [found.get(number, Seen()) for number in range(first, first + len(packets))]

    def _fire(self, packet: Packet) -> None:
        data = to_wire(packet)
        if packet.in_interface:
            self._wires[packet.in_interface].send(_frame(data))
            return
        with suppress(PermissionError):  # a rule dropped or rejected the packet
            self._out[packet.src.version, ""].sendto(data, (str(packet.dst), 0))

    def _barrier(self) -> tuple[Mapping[int, Seen], set[int]]:
        """Wait until the kernel is done; return the packets that left by an interface, and the refused numbers."""
        looped, passed = self._passed()
        left: dict[int, Seen] = {}
        refused = {number for data in looped for number in _refused_by(data)}
        for name, data in passed:
            if numbers := set(_refused_by(data)):
                refused |= numbers
            elif (number := _number(data)) is not None:
                left.setdefault(number, seen_as(name, from_wire(data)))
        return left, refused

    def _arrived(self) -> Mapping[int, Seen]:
        """Return the packets that raw sockets of the Node received, by number."""
        heard: dict[int, Seen] = {}
        for (version, protocol), ear in self._ears.items():
            for data in _heard(ear, version, protocol):
                number = _number(data)
                if number is not None and not set(_refused_by(data)):
                    heard.setdefault(number, seen_as("input", from_wire(data)))  # an echo reply comes after its request
        return heard


def _number(data: bytes) -> int | None:
    """Return the number in a packet, or None."""
    at = data.find(MAGIC)
    return struct.unpack_from("!I", data, at + 4)[0] if at >= 0 else None


def _refused_by(data: bytes) -> Iterator[int]:
    """Yield the number of the packet that this packet refuses, if any."""
    packet = from_wire(data)
    start = (data[0] & 0xF) * 4 if data[0] >> 4 == 4 else 40
    number = _number(data)
    if "RST" in packet.flags and number is None:
        sequence, acknowledged = struct.unpack_from("!II", data, start + 4)
        yield (acknowledged if "ACK" in packet.flags else sequence) >> 8
    elif number is not None and packet.icmp and (packet.protocol, packet.icmp[0]) in {(1, 3), (58, 1)}:
        quoted = data[start + 8 :]
        size = int.from_bytes(quoted[2:4]) if quoted[0] >> 4 == 4 else 40 + int.from_bytes(quoted[4:6])
        # A number after the quoted packet belongs to an error that was itself a test packet.
        yield from (number,) if quoted.find(MAGIC) < size else ()


def _heard(ear: socket, version: int, protocol: int) -> Iterator[bytes]:
    """Yield the packets that a raw socket received; of an IPv6 header, the kernel reports only the addresses."""
    with suppress(BlockingIOError):  # no more packets
        while True:
            data, ancillary, _flags, sender = ear.recvmsg(0xFFFF, 64)
            if version == 6:
                source = inet_pton(AF_INET6, sender[0].partition("%")[0])
                header = struct.pack("!IHBB", 6 << 28, len(data), protocol, 64)
                data = header + source + ancillary[0][2][:16] + data
            yield data
