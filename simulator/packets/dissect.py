"""IP bytes into packets: just the header fields that netfilter matches on (RFC 791, 792, 4443, 8200, 9293).

Written out instead of left to scapy: a capture has millions of frames, and a cut header must be told from a
short one. scapy writes the bytes that the tests read back.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from engine.errors import Fault, Refused
from engine.ruleset import Family
from simulator.packets import names
from simulator.packets.model import TCP_FLAGS, Address, Packet

ICMP_ERRORS: Mapping[Family, frozenset[int]] = {
    Family.IPV4: frozenset({3, 4, 5, 11, 12}),
    Family.IPV6: frozenset({1, 2, 3, 4}),
}
"""The ICMP types that quote the packet they are about."""

_CUT, _IMPOSSIBLE = "cut inside the {} header", "an IPv4 header with impossible lengths"

_FIRST_BYTES = 8
"""What an ICMP error quotes at least of a transport header (RFC 792)."""


def from_wire(data: bytes, *, in_interface: str = "", out_interface: str = "", mac: str | None = None) -> Packet:
    """Read an IP packet as seen at the interfaces given; the state is NEW and the mark 0, and it keeps its bytes.

    Only the headers need to be there; a payload may be cut off.

    Raises:
        Refused: the bytes are no IP packet, or end inside a header.
    """
    packet = _read(data, quoted=False)
    return replace(packet, in_interface=in_interface, out_interface=out_interface, mac=mac, wire=data)


@dataclass(frozen=True, slots=True)
class _Network:
    """What the network header says; ``payload`` begins at the transport header."""

    src: Address
    dst: Address
    protocol: int
    ttl: int
    length: int
    fragment: bool
    tos: int
    payload: bytes


def _read(data: bytes, *, quoted: bool) -> Packet:
    version = data[0] >> 4 if data else 0
    if version not in _NETWORK:
        raise _unreadable(f"IP version {version}" if data else "no bytes")
    header = _NETWORK[version](data)
    bare = Packet(
        src=header.src,
        dst=header.dst,
        protocol=header.protocol,
        ttl=header.ttl,
        length=header.length,
        fragment=header.fragment,
        tos=header.tos,
    )
    read = _TRANSPORT.get(header.protocol)
    return bare if header.fragment or read is None else read(bare, header.payload, quoted)


def _unreadable(reason: str) -> Refused:
    return Refused((Fault("packet", reason, "an IPv4 or IPv6 packet with whole headers"),))


def _bytes(data: bytes, size: int, header: str) -> bytes:
    if len(data) < size:
        raise _unreadable(_CUT.format(header))
    return data


def _ipv4(data: bytes) -> _Network:
    _bytes(data, 20, "IPv4")
    length, fragments, ttl, protocol = struct.unpack_from("!2xH2xHBB", data)
    size = (data[0] & 0xF) * 4
    if size < 20 or 0 < length < size:
        raise _unreadable(_IMPOSSIBLE)
    _bytes(data, size, "IPv4")
    length = length or len(data)  # offloading network cards leave 0 to be filled in
    src, dst = IPv4Address(data[12:16]), IPv4Address(data[16:20])
    return _Network(src, dst, protocol, ttl, length, bool(fragments & 0x1FFF), data[1], data[size:length])


def _ipv6(data: bytes) -> _Network:
    _bytes(data, 40, "IPv6")
    payload, protocol, ttl = struct.unpack_from("!4xHBB", data)
    length = 40 + payload if payload else len(data)  # as in IPv4; also a jumbogram
    data = data[:length]
    at, fragment = 40, False
    while protocol in names.EXTENSION_HEADERS - {59} and not fragment:
        _bytes(data, at + 8, "IPv6 extension")
        following, size, fragment = _extension(protocol, data[at : at + 8])
        protocol, at = following, at + size
    src, dst = IPv6Address(data[8:24]), IPv6Address(data[24:40])
    return _Network(src, dst, protocol, ttl, length, fragment, (data[0] & 0xF) << 4 | data[1] >> 4, data[at:])


def _extension(protocol: int, header: bytes) -> tuple[int, int, bool]:
    """What follows an extension header, its size, and whether it makes the packet a later fragment."""
    if protocol == 44:
        return header[0], 8, int.from_bytes(header[2:4]) & 0xFFF8 != 0
    size = (header[1] + 2) * 4 if protocol == 51 else (header[1] + 1) * 8
    return header[0], size, False


_NETWORK: Mapping[int, Callable[[bytes], _Network]] = {4: _ipv4, 6: _ipv6}


def _ports(packet: Packet, payload: bytes, quoted: bool) -> Packet:  # noqa: ARG001, FBT001 - the table's signature
    sport, dport = struct.unpack_from("!HH", _bytes(payload, 4, "transport"))
    return replace(packet, sport=sport, dport=dport)


def _tcp(packet: Packet, payload: bytes, quoted: bool) -> Packet:  # noqa: FBT001 - the table's signature
    _bytes(payload, _FIRST_BYTES if quoted else 20, "TCP")
    bits = payload[13] if len(payload) > 13 else 0
    flags = frozenset(flag for place, flag in enumerate(TCP_FLAGS) if bits >> place & 1)
    return replace(_ports(packet, payload, quoted), flags=flags)


def _icmp(packet: Packet, payload: bytes, quoted: bool) -> Packet:  # noqa: FBT001 - the table's signature
    if packet.protocol != names.ICMP_OF[packet.family]:
        return packet
    kind, code, identifier = struct.unpack_from("!BB2xH", _bytes(payload, 8, "ICMP"))
    if kind not in ICMP_ERRORS[packet.family]:
        return replace(packet, icmp=(kind, code), icmp_id=identifier)
    return replace(packet, icmp=(kind, code), inner=None if quoted else _quoted(payload[8:]))


def _quoted(data: bytes) -> Packet | None:
    """The packet an ICMP error is about, where enough of it is quoted to tell its connection."""
    try:
        return _read(data, quoted=True)
    except Refused:
        return None


def _igmp(packet: Packet, payload: bytes, quoted: bool) -> Packet:  # noqa: ARG001, FBT001 - the table's signature
    return replace(packet, igmp=_bytes(payload, 8, "IGMP")[0]) if packet.family is Family.IPV4 else packet


_TRANSPORT: Mapping[int, Callable[[Packet, bytes, bool], Packet]] = {
    names.TCP: _tcp,
    names.ICMP: _icmp,
    names.IGMP: _igmp,
    names.ICMPV6: _icmp,
    **dict.fromkeys(names.PORT_PROTOCOLS - {names.TCP}, _ports),
}
