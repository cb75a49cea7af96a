"""Header offsets in a packet's bytes, and rewriting of header fields (such as by NAT) with correct checksums.

`layout` locates the headers of IP bytes. `bytes_of` returns the bytes of a `Packet`; if it has none, they are built
from its fields. `known_bits` then marks the bits that a given field determines; the other bits are only defaults.
`rewritten` returns a changed `Packet`.

Sources: RFC 791 (IPv4), RFC 8200 (IPv6), RFC 1624 (incremental checksums).
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from engine.errors import Refused
from engine.ip_types import Address
from engine.rulesets.model import Family
from simulator.packets import protocol_names
from simulator.packets.model import Packet

_ALL_BITS = 0xFF

_CHECKSUM_AT: Mapping[int, int] = {
    protocol_names.TCP: 16,
    protocol_names.UDP: 6,
    protocol_names.UDPLITE: 6,
    protocol_names.DCCP: 6,
    protocol_names.ICMPV6: 2,
}
"""Checksum offset in the transport header, for protocols whose checksum covers the IP addresses."""


@dataclass(frozen=True, slots=True)
class Extension:
    """One IPv6 extension header: its number, its offset and its declared size in bytes."""

    protocol: int
    at: int
    size: int


@dataclass(frozen=True, slots=True)
class HeaderLayout:
    """Bytes of a packet with the offsets of its headers.

    ``transport`` is None in a fragment other than the first, and if the bytes end before the transport header.
    """

    data: bytes
    protocol: int
    transport: int | None
    extensions: tuple[Extension, ...] = ()

    def payload(self, size: int) -> bytes | None:
        """Return the first ``size`` bytes of the transport header, or None if there are fewer."""
        if self.transport is None or len(self.data) < self.transport + size:
            return None
        return self.data[self.transport : self.transport + size]

    def extension(self, protocol: int) -> bytes | None:
        """Return the bytes of the first extension header with this number, truncated at the packet's end."""
        for found in self.extensions:
            if found.protocol == protocol:
                return self.data[found.at : found.at + found.size]
        return None


@lru_cache(maxsize=1024)
def layout(data: bytes) -> HeaderLayout:
    """Locate the headers in the bytes of a valid IP packet."""
    if data[0] >> 4 == 4:
        at = (data[0] & 0xF) * 4
        later = int.from_bytes(data[6:8]) & 0x1FFF
        return HeaderLayout(data, data[9], None if later or at > len(data) else at)
    return _layout_6(data)


def _layout_6(data: bytes) -> HeaderLayout:
    protocol, at, found, later = data[6], 40, [], False
    while protocol in protocol_names.EXTENSION_HEADERS - {59} and not later and at + 8 <= len(data):
        size = _size(protocol, data[at + 1])
        later = protocol == 44 and bool(int.from_bytes(data[at + 2 : at + 4]) & 0xFFF8)
        found.append(Extension(protocol, at, size))
        protocol, at = data[at], at + size
    return HeaderLayout(data, protocol, None if later or at > len(data) else at, tuple(found))


def _size(protocol: int, length: int) -> int:
    return 8 if protocol == 44 else (length + 2) * 4 if protocol == 51 else (length + 1) * 8


def bytes_of(packet: Packet) -> bytes | None:
    """Return the packet's bytes, built if they are not known; None if the packet cannot exist on the wire."""
    return packet.wire if packet.wire is not None else _generated_bytes(packet)


@lru_cache(maxsize=1024)
def _generated_bytes(packet: Packet) -> bytes | None:
    from simulator.packets import to_wire  # noqa: PLC0415 - scapy costs half a second, which start-up must not pay

    try:
        return to_wire(packet)
    except Refused:
        return None


def known_bits(packet: Packet, data: bytes) -> bytes:
    """Return a mask as long as ``data``, with a one for each bit that a field of the packet determines."""
    if packet.wire is not None:
        return bytes([_ALL_BITS]) * len(data)
    known = bytearray(len(data))
    for at, size in _given_fields(packet, layout(data).transport or 0):
        known[at : at + size] = bytes([_ALL_BITS]) * len(known[at : at + size])
    return bytes(known)


def _given_fields(packet: Packet, transport: int) -> Iterator[tuple[int, int]]:
    """Yield the byte offset and the size of each field that the packet gives."""
    has_length = packet.length is not None
    if packet.family is Family.IPV4:
        yield from ((0, 2), (6, 4), (12, 8), *(((2, 2),) if has_length else ()))
    else:
        yield from ((0, 2), (6, 34), *(((4, 2),) if has_length else ()))
    if not transport or packet.fragment:
        return
    if packet.sport is not None:
        yield transport, 2
    if packet.dport is not None:
        yield transport + 2, 2
    if packet.protocol == protocol_names.TCP:
        yield transport + 13, 1
    if packet.icmp is not None:
        yield transport, 2
    if packet.icmp_id is not None:
        yield transport + 4, 2
    if packet.igmp is not None:
        yield transport, 1


def rewritten(  # noqa: PLR0913 - each is a field that some target rewrites
    packet: Packet,
    *,
    src: Address | None = None,
    dst: Address | None = None,
    sport: int | None = None,
    dport: int | None = None,
    icmp_id: int | None = None,
    ttl: int | None = None,
    tos: int | None = None,
) -> Packet:
    """Return the packet with some fields rewritten, in its bytes too, with the checksums updated."""
    changed = replace(
        packet,
        src=packet.src if src is None else src,
        dst=packet.dst if dst is None else dst,
        sport=packet.sport if sport is None else sport,
        dport=packet.dport if dport is None else dport,
        icmp_id=packet.icmp_id if icmp_id is None else icmp_id,
        ttl=packet.ttl if ttl is None else ttl,
        tos=packet.tos if tos is None else tos,
    )
    return changed if packet.wire is None else replace(changed, wire=_patched(packet.wire, packet, changed))


def _patched(wire: bytes, before: Packet, after: Packet) -> bytes:
    data = bytearray(wire)
    if after.family is Family.IPV4:
        data[1], data[8] = after.tos, after.ttl
        data[12:20] = after.src.packed + after.dst.packed
        size = (data[0] & 0xF) * 4
        data[10:12] = bytes(2)
        data[10:12] = struct.pack("!H", _folded(~_sum(bytes(data[:size]))))
    else:
        data[0], data[1] = 0x60 | after.tos >> 4, (after.tos & 0xF) << 4 | data[1] & 0xF
        data[7] = after.ttl
        data[8:40] = after.src.packed + after.dst.packed
    found = layout(wire)
    if found.transport is not None and not after.fragment:
        _patch_transport(data, found.transport, before, after)
    return bytes(data)


def _patch_transport(data: bytearray, at: int, before: Packet, after: Packet) -> None:
    old, new = before.src.packed + before.dst.packed, after.src.packed + after.dst.packed
    if after.protocol in protocol_names.PORT_PROTOCOLS and None not in {after.sport, after.dport}:
        old, new = old + bytes(data[at : at + 4]), new + struct.pack("!HH", after.sport, after.dport)
        data[at : at + 4] = new[-4:]
    where = _CHECKSUM_AT.get(after.protocol)
    if after.icmp is not None and after.icmp_id is not None:
        identifier = struct.pack("!H", after.icmp_id)
        old, new = old + bytes(data[at + 4 : at + 6]), new + identifier
        data[at + 4 : at + 6] = identifier
        if after.protocol == protocol_names.ICMP:  # its checksum does not cover the addresses
            old, new, where = old[-2:], new[-2:], 2
    if where is None or len(data) < at + where + 2 or old == new:
        return
    checksum = int.from_bytes(data[at + where : at + where + 2])
    if checksum or after.protocol != protocol_names.UDP:  # in UDP, zero means "no checksum"
        total = (checksum ^ 0xFFFF) + _sum(bytes(byte ^ 0xFF for byte in old)) + _sum(new)
        data[at + where : at + where + 2] = struct.pack("!H", _folded(total) ^ 0xFFFF)


def _sum(data: bytes) -> int:
    padded = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    return _folded(total)


def _folded(total: int) -> int:
    total = total & 0xFFFF if total < 0 else total
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
