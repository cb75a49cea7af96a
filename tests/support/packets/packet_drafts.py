"""Packet drafts for the network of `tests.support.rulesets.random_rulesets`, and their bytes.

Each packet carries a number that NAT does not change, so that a kernel's answer can be assigned to it. The number is in
the identification of IPv4 or the flow label of IPv6, and in TCP's sequence and acknowledgement numbers.
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address

from engine.rulesets.model import Family
from simulator.conntrack.sctp import chunks_of
from simulator.packets import Address, Packet, protocol_names
from simulator.packets.dissect import ICMP_ERRORS
from simulator.packets.header_layout import layout

Dice = random.Random

NODE = {Family.IPV4: "192.0.2.2", Family.IPV6: "2001:db8::2"}
LEFT = {
    Family.IPV4: [f"198.51.100.{n}" for n in (1, 2, 3, 4, 7, 8)],
    Family.IPV6: [f"2001:db8:1::{n:x}" for n in (1, 2, 3, 4, 7, 8)],
}
RIGHT = {
    Family.IPV4: [f"203.0.113.{n}" for n in (1, 2, 3, 4, 7, 8)],
    Family.IPV6: [f"2001:db8:2::{n:x}" for n in (1, 2, 3, 4, 7, 8)],
}
PORTS = (53, 80, 81, 443, 8080)
CLIENT_PORTS = (40000, 40001, 40002, 40003)
NEEDLE = b"needle"

RESERVED = 0x8000
"""Unused IPv4 flag: the kernel does not change it, and never sets it on packets that it sends by itself."""

FIN, SYN, RST, ACK, URG = 1, 2, 4, 16, 32
INIT, INIT_ACK, COOKIE_ECHO, COOKIE_ACK, DATA = 1, 2, 10, 11, 0


@dataclass(frozen=True, slots=True)
class Draft:
    """Packet to write as bytes; ``payload`` follows the transport header, ``options`` are TCP options."""

    src: Address
    dst: Address
    protocol: int
    sport: int = 0
    dport: int = 0
    flags: int = SYN
    options: bytes = b""
    icmp: tuple[int, int] = (8, 0)
    icmp_id: int = 0
    tag: int = 0
    tos: int = 0
    ttl: int = 64
    payload: bytes = b""
    mark: int = 0

    @property
    def family(self) -> Family:
        """Family of the addresses."""
        return Family.IPV4 if self.src.version == 4 else Family.IPV6

    @property
    def head(self) -> int:
        """Number of bytes before the payload."""
        network = 20 if self.family is Family.IPV4 else 40
        return network + {protocol_names.TCP: 20 + len(self.options), protocol_names.SCTP: 12}.get(self.protocol, 8)

    def wire(self, number: int) -> bytes:
        """Return the bytes of the packet, with a number in them."""
        body = bytearray(self._transport(number) + self.payload)
        at = {protocol_names.TCP: 16, protocol_names.UDP: 6, protocol_names.SCTP: 8}.get(self.protocol, 2)
        if self.protocol == protocol_names.SCTP:
            body[at : at + 4] = crc32c(bytes(body))
        else:
            pseudo = self.src.packed + self.dst.packed + struct.pack("!II", len(body), self.protocol)
            body[at : at + 2] = checksum((b"" if self.protocol == protocol_names.ICMP else pseudo) + body)
        return self._network(number, len(body)) + body

    def _transport(self, number: int) -> bytes:
        ports = struct.pack("!HH", self.sport, self.dport)
        if self.protocol == protocol_names.TCP:
            size, sequence = (20 + len(self.options)) << 2, number << 8
            return ports + struct.pack("!IIBBHI", sequence, sequence, size, self.flags, 8192, 0) + self.options
        if self.protocol == protocol_names.UDP:
            return ports + struct.pack("!HH", 8 + len(self.payload), 0)
        if self.protocol == protocol_names.SCTP:
            return ports + struct.pack("!II", self.tag, 0)
        rest = (0, 0) if self.icmp[0] in ICMP_ERRORS[self.family] else (self.icmp_id, 0)
        return struct.pack("!BBHHH", *self.icmp, 0, *rest)

    def _network(self, number: int, size: int) -> bytes:
        ends = self.src.packed + self.dst.packed
        if self.family is Family.IPV6:
            return struct.pack("!IHBB", 6 << 28 | self.tos << 20 | number, size, self.protocol, self.ttl) + ends
        fields = (0x45, self.tos, 20 + size, number, RESERVED, self.ttl, self.protocol)
        head = struct.pack("!BBHHHBB", *fields)
        return head + checksum(head + bytes(2) + ends) + ends


def checksum(data: bytes) -> bytes:
    """Return the Internet checksum (RFC 1071); never 0, which means "no checksum" in UDP."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", total ^ 0xFFFF or 0xFFFF)


def _row(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ 0x82F63B78 * (byte & 1)
    return byte


_CRC = [_row(byte) for byte in range(256)]


def crc32c(data: bytes) -> bytes:
    """Return the SCTP checksum (RFC 9260, appendix A)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return struct.pack("<I", crc ^ 0xFFFFFFFF)


def chunk(kind: int, announced: int = 1) -> bytes:
    """Return an SCTP chunk; INIT and INIT ACK announce a tag."""
    body = struct.pack("!IIHHI", announced, 1500, 1, 1, 1) if kind in {INIT, INIT_ACK} else bytes(12)
    return struct.pack("!BBH", kind, 3 if kind == DATA else 0, 4 + len(body)) + body


def segment_options(size: int | None, *, permitted: bool = True) -> bytes:
    """Return the TCP options for a maximum segment size and for SACK permitted."""
    return (b"" if size is None else struct.pack("!BBH", 2, 4, size)) + (b"\4\2\1\1" if permitted else b"")


def drawn(dice: Dice, family: Family) -> Draft:
    """Draw a packet that may begin a connection: through the Node, to it, or from it."""
    left, right, own = dice.choice(LEFT[family]), dice.choice(RIGHT[family]), NODE[family]
    ways = ((left, right), (right, left), (left, own), (left, own), (own, left), (own, right), (right, own))
    src, dst = map(ip_address, dice.choice(ways))
    tos, ttl = dice.choice((0, 0, 0x10, 0x13, 0xB8)), dice.choice((64, 63, 62))
    ports = dice.choice(CLIENT_PORTS), dice.choice(PORTS)
    draft = Draft(src, dst, protocol_names.UDP, *ports, tos=tos, ttl=ttl)
    return of_protocol(
        dice,
        draft,
        dice.choice((protocol_names.TCP,) * 4 + (protocol_names.UDP,) * 3 + (protocol_names.SCTP, protocol_names.ICMP)),
    )


def of_protocol(dice: Dice, draft: Draft, protocol: int) -> Draft:
    """Return the draft with another protocol and a drawn transport header."""
    if protocol == protocol_names.TCP:
        flags = dice.choice((*(SYN,) * 4, ACK, SYN | ACK, FIN | ACK, RST, FIN | SYN | URG))
        some = segment_options(dice.choice((1000, 1400, 1460))) if flags & SYN and dice.random() < 0.5 else b""
        return replace(draft, protocol=protocol, flags=flags, options=some, payload=b"")
    if protocol == protocol_names.UDP:
        payload = dice.choice((b"", b"x" * 20, b"a needle here", b"--needle" + b"y" * 40))
        return replace(draft, protocol=protocol, payload=payload)
    if protocol == protocol_names.SCTP:
        kind = dice.choice((INIT, INIT, INIT, DATA, COOKIE_ECHO))
        return replace(draft, protocol=protocol, tag=0 if kind == INIT else 7, payload=chunk(kind))
    asked, kind = draft.family, 8 if draft.family is Family.IPV4 else 128
    return replace(
        draft, protocol=protocol_names.ICMP_OF[asked], icmp=(kind, 0), icmp_id=dice.randrange(1, 60000), payload=b""
    )


def answers(dice: Dice, packet: Packet) -> Draft:
    """Draw an answer to a packet that reached its destination: usually the right one, sometimes another."""
    assert packet.wire is not None
    draft = Draft(packet.dst, packet.src, packet.protocol, packet.dport or 0, packet.sport or 0)
    if packet.protocol == protocol_names.TCP:
        right = ACK if packet.flags & {"ACK"} else SYN | ACK
        return replace(draft, flags=dice.choice((right, right, RST, FIN | ACK, ACK, SYN)))
    if packet.protocol == protocol_names.SCTP:
        kind = next((each.kind for each in chunks_of(packet) or ()), DATA)
        right = {INIT: INIT_ACK, INIT_ACK: COOKIE_ECHO, COOKIE_ECHO: COOKIE_ACK}.get(kind, DATA)
        return replace(
            draft, tag=dice.choice((1, 1, 1, 7)), payload=chunk(dice.choice((right, right, right, DATA, 6, 7)))
        )
    if packet.protocol == protocol_names.UDP:
        return replace(draft, payload=b"answer")
    reply = {8: 0, 128: 129}.get((packet.icmp or (0, 0))[0], 8 if packet.family is Family.IPV4 else 128)
    return replace(draft, icmp=(reply, 0), icmp_id=packet.icmp_id or 0)


def error_about(dice: Dice, packet: Packet) -> Draft | None:
    """Draw an ICMP error from the packet's destination or a router; None if the packet is an ICMP error itself."""
    assert packet.wire is not None
    if packet.icmp is not None and packet.icmp[0] in ICMP_ERRORS[packet.family]:
        return None
    kinds = ((3, 3), (3, 1), (11, 0)) if packet.family is Family.IPV4 else ((1, 4), (1, 0), (3, 0))
    sender = packet.dst if dice.random() < 0.7 else ip_address(dice.choice((LEFT, RIGHT))[packet.family][3])
    about = packet.wire[: (layout(packet.wire).transport or 0) + dice.choice((8, 28))]
    return Draft(sender, packet.src, protocol_names.ICMP_OF[packet.family], icmp=dice.choice(kinds), payload=about)


def numbers() -> Iterator[int]:
    """Yield numbers for the IPv4 identification, without end."""
    while True:
        yield from range(1, 0xFFFF)
