"""Parser of IP bytes into a `Packet`, limited to the header fields that netfilter matches on.

`from_wire` raises `Refused` if the bytes are not an IP packet or end inside a header. The parser is written by hand
instead of with scapy: a capture has millions of frames, and truncated headers must be recognised. The tests compare the
parser with bytes that scapy builds. Sources: RFC 791, 792, 4443, 8200, 9293.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from engine.errors import Fault, Refused
from engine.ip_types import Address
from engine.rulesets.model import Family
from simulator.packets import protocol_names
from simulator.packets.model import TCP_FLAGS, Packet

ICMP_ERRORS: Mapping[Family, frozenset[int]] = {
    Family.IPV4: frozenset({3, 4, 5, 11, 12}),
    Family.IPV6: frozenset({1, 2, 3, 4}),
}
"""ICMP types of error messages, which quote the packet that caused them."""

FLAGS = tuple(frozenset(flag for place, flag in enumerate(TCP_FLAGS) if bits >> place & 1) for bits in range(0x100))
"""TCP flags, indexed by the header's flag byte."""

_CUT, _IMPOSSIBLE = "cut inside the {} header", "an IPv4 header with impossible lengths"

_SKIPPED = protocol_names.EXTENSION_HEADERS - {59}

_FIRST_BYTES = 8
"""Bytes of a transport header that an ICMP error quotes at least (RFC 792)."""


@dataclass(frozen=True, slots=True)
class _PacketMetadata:
    """Metadata of a packet that is not part of its IP bytes, plus those bytes."""

    in_interface: str = ""
    out_interface: str = ""
    mac: str | None = None
    time: float | None = None
    wire: bytes | None = None


def from_wire(
    data: bytes, *, in_interface: str = "", out_interface: str = "", mac: str | None = None, time: float | None = None
) -> Packet:
    """Parse an IP packet as seen at the given interfaces; it has state NEW and mark 0, and keeps its bytes.

    Only the headers must be complete; the payload may be truncated.

    Raises:
        Refused: The bytes are not an IP packet, or end inside a header.
    """
    return _read(data, _PacketMetadata(in_interface, out_interface, mac, time, data))


@dataclass(frozen=True, slots=True)
class _Network:
    """Fields of the network header; ``payload`` begins at the transport header."""

    src: Address
    dst: Address
    protocol: int
    ttl: int
    length: int
    fragment: bool
    tos: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class _Transport:
    """Fields of the transport header."""

    sport: int | None = None
    dport: int | None = None
    flags: frozenset[str] = frozenset()
    icmp: tuple[int, int] | None = None
    icmp_id: int | None = None
    igmp: int | None = None
    inner: Packet | None = None


_NO_TRANSPORT = _Transport()


def _read(data: bytes, seen: _PacketMetadata | None) -> Packet:
    """Parse a packet; ``seen`` is None for a packet that an ICMP error quotes."""
    version = data[0] >> 4 if data else 0
    if version not in _NETWORK:
        raise _unreadable(f"IP version {version}" if data else "no bytes")
    header = _NETWORK[version](data)
    read = None if header.fragment else _TRANSPORT.get(header.protocol)
    transport = read(header, seen is None) if read else _NO_TRANSPORT
    about = seen or _PacketMetadata()
    return Packet(  # built in one call: `dataclasses.replace` would take longer than the parsing
        src=header.src,
        dst=header.dst,
        protocol=header.protocol,
        sport=transport.sport,
        dport=transport.dport,
        flags=transport.flags,
        icmp=transport.icmp,
        icmp_id=transport.icmp_id,
        igmp=transport.igmp,
        in_interface=about.in_interface,
        out_interface=about.out_interface,
        length=header.length,
        ttl=header.ttl,
        mac=about.mac,
        fragment=header.fragment,
        inner=transport.inner,
        tos=header.tos,
        time=about.time,
        wire=about.wire,
    )


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
    length = length or len(data)  # 0 if the network card fills the length in later (segmentation offload)
    src, dst = IPv4Address(data[12:16]), IPv4Address(data[16:20])
    return _Network(src, dst, protocol, ttl, length, bool(fragments & 0x1FFF), data[1], data[size:length])


def _ipv6(data: bytes) -> _Network:
    _bytes(data, 40, "IPv6")
    payload, protocol, ttl = struct.unpack_from("!4xHBB", data)
    length = 40 + payload if payload else len(data)  # as in IPv4; also a jumbogram
    data = data[:length]
    at, fragment = 40, False
    while protocol in _SKIPPED and not fragment:
        _bytes(data, at + 8, "IPv6 extension")
        following, size, fragment = _extension(protocol, data[at : at + 8])
        protocol, at = following, at + size
    src, dst = IPv6Address(data[8:24]), IPv6Address(data[24:40])
    return _Network(src, dst, protocol, ttl, length, fragment, (data[0] & 0xF) << 4 | data[1] >> 4, data[at:])


def _extension(protocol: int, header: bytes) -> tuple[int, int, bool]:
    """Return the next header, this header's size, and whether the packet is a fragment other than the first."""
    if protocol == 44:
        return header[0], 8, int.from_bytes(header[2:4]) & 0xFFF8 != 0
    size = (header[1] + 2) * 4 if protocol == 51 else (header[1] + 1) * 8
    return header[0], size, False


_NETWORK: Mapping[int, Callable[[bytes], _Network]] = {4: _ipv4, 6: _ipv6}


def _ports(header: _Network, quoted: bool) -> _Transport:  # noqa: ARG001, FBT001 - the table's signature
    sport, dport = struct.unpack_from("!HH", _bytes(header.payload, 4, "transport"))
    return _Transport(sport, dport)


def _tcp(header: _Network, quoted: bool) -> _Transport:  # noqa: FBT001 - the table's signature
    payload = _bytes(header.payload, _FIRST_BYTES if quoted else 20, "TCP")
    sport, dport = struct.unpack_from("!HH", payload)
    return _Transport(sport, dport, FLAGS[payload[13] if len(payload) > 13 else 0])


def _icmp(header: _Network, quoted: bool) -> _Transport:  # noqa: FBT001 - the table's signature
    family = Family.IPV4 if header.src.version == 4 else Family.IPV6
    if header.protocol != protocol_names.ICMP_OF[family]:
        return _NO_TRANSPORT
    kind, code, identifier = struct.unpack_from("!BB2xH", _bytes(header.payload, 8, "ICMP"))
    if kind not in ICMP_ERRORS[family]:
        return _Transport(icmp=(kind, code), icmp_id=identifier)
    return _Transport(icmp=(kind, code), inner=None if quoted else _quoted(header.payload[8:]))


def _quoted(data: bytes) -> Packet | None:
    """Return the packet that caused an ICMP error, if the quoted part identifies its connection."""
    try:
        return _read(data, None)
    except Refused:
        return None


def _igmp(header: _Network, quoted: bool) -> _Transport:  # noqa: ARG001, FBT001 - the table's signature
    return _Transport(igmp=_bytes(header.payload, 8, "IGMP")[0]) if header.src.version == 4 else _NO_TRANSPORT


_TRANSPORT: Mapping[int, Callable[[_Network, bool], _Transport]] = {
    protocol_names.TCP: _tcp,
    protocol_names.ICMP: _icmp,
    protocol_names.IGMP: _igmp,
    protocol_names.ICMPV6: _icmp,
    **dict.fromkeys(protocol_names.PORT_PROTOCOLS - {protocol_names.TCP}, _ports),
}
