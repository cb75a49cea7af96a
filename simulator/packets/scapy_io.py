"""Writer of packets as wire bytes and pcap files, with scapy; the only module that imports scapy.

`to_wire` converts a `Packet` to IP bytes; `pcap_writer` appends such bytes to a file. Both raise `Refused`: for a
packet that cannot exist on the wire, and for a file that cannot be written.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6Unknown, IPv6, IPv6ExtHdrFragment
from scapy.layers.sctp import SCTP
from scapy.packet import Packet as Layer
from scapy.packet import Raw
from scapy.utils import RawPcapWriter

from engine.errors import Fault, Refused
from engine.rulesets.model import Family
from simulator.packets import protocol_names
from simulator.packets.dissect import ICMP_ERRORS
from simulator.packets.model import TCP_FLAGS, Packet

_RAW_IP = 101
"""Link type of a capture without link headers (LINKTYPE_RAW)."""

_FRAGMENT_OFFSET = 64
"""Offset of a fragment other than the first, in units of 8 bytes; any value but 0 works."""


def to_wire(packet: Packet) -> bytes:
    """See `simulator.packets.to_wire`."""
    if packet.wire is not None:
        return packet.wire
    if packet.family is Family.IPV6 and packet.protocol in protocol_names.EXTENSION_HEADERS:
        raise _unwritable(packet, f"protocol {packet.protocol} is an IPv6 extension header")
    layer = _NETWORK[packet.family](packet) / _transport(packet)
    missing = 0 if packet.length is None else packet.length - len(bytes(layer))
    if missing < 0:
        raise _unwritable(packet, f"length {packet.length} is less than its headers take")
    return bytes(layer / Raw(bytes(missing)) if missing else layer)


def _unwritable(packet: Packet, problem: str) -> Refused:
    return Refused((Fault(packet.words, problem, "a packet that can exist on the wire"),))


def _ipv4(packet: Packet) -> Layer:
    offset = _FRAGMENT_OFFSET if packet.fragment else 0
    base = IP(src=str(packet.src), dst=str(packet.dst), ttl=packet.ttl, proto=packet.protocol, tos=packet.tos)
    base.frag = offset
    return base


def _ipv6(packet: Packet) -> Layer:
    base = IPv6(src=str(packet.src), dst=str(packet.dst), hlim=packet.ttl, nh=packet.protocol, tc=packet.tos)
    if not packet.fragment:
        return base
    base.nh = 44
    return base / IPv6ExtHdrFragment(nh=packet.protocol, offset=_FRAGMENT_OFFSET)


_NETWORK: Mapping[Family, Callable[[Packet], Layer]] = {Family.IPV4: _ipv4, Family.IPV6: _ipv6}


def _transport(packet: Packet) -> Layer:
    write = _TRANSPORT.get(packet.protocol)
    foreign = (
        packet.protocol in protocol_names.ICMP_OF.values() and packet.protocol != protocol_names.ICMP_OF[packet.family]
    )
    return Raw(b"") if packet.fragment or foreign or write is None else write(packet)


def _tcp(packet: Packet) -> Layer:
    bits = sum(1 << place for place, flag in enumerate(TCP_FLAGS) if flag in packet.flags)
    return TCP(sport=packet.sport or 0, dport=packet.dport or 0, flags=bits)


def _udp(packet: Packet) -> Layer:
    return UDP(sport=packet.sport or 0, dport=packet.dport or 0)


def _sctp(packet: Packet) -> Layer:
    return SCTP(sport=packet.sport or 0, dport=packet.dport or 0)


def _ports(packet: Packet) -> Layer:
    """Write only the ports: scapy has no DCCP layer."""
    return Raw(struct.pack("!HH8x", packet.sport or 0, packet.dport or 0))


def _udplite(packet: Packet) -> Layer:
    """Write a header whose checksum covers only itself (RFC 3828); the pseudo header counts the payload too."""
    size = max(8, (packet.length or 0) - (20 if packet.family is Family.IPV4 else 40))
    header = struct.pack("!HHH", packet.sport or 0, packet.dport or 0, 8)
    pseudo = packet.src.packed + packet.dst.packed + struct.pack("!II", size, packet.protocol)
    return Raw(header + struct.pack("!H", _checksum(pseudo + header)))


def _icmp(packet: Packet) -> Layer:
    """Write the message by hand: scapy's fields after type and code differ from type to type."""
    kind, code = packet.icmp or (0, 0)
    quotes = kind in ICMP_ERRORS[packet.family]
    rest = bytes(4) if quotes else struct.pack("!HH", packet.icmp_id or 0, 0)
    quoted = to_wire(packet.inner) if quotes and packet.inner else b""
    if packet.family is Family.IPV6:
        return ICMPv6Unknown(type=kind, code=code, msgbody=rest + quoted)
    unchecked = bytes((kind, code, 0, 0)) + rest + quoted
    return Raw(unchecked[:2] + struct.pack("!H", _checksum(unchecked)) + unchecked[4:])


def _igmp(packet: Packet) -> Layer:
    """Write a version 2 header (RFC 2236) whose group is the destination; version 3 begins in the same way."""
    if packet.family is Family.IPV6:
        return Raw(b"")
    unchecked = bytes((packet.igmp or 0, 0, 0, 0)) + packet.dst.packed
    return Raw(unchecked[:2] + struct.pack("!H", _checksum(unchecked)) + unchecked[4:])


def _checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    padded = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    return 0xFFFF - (total - 1) % 0xFFFF - 1 if total else 0xFFFF


_TRANSPORT: Mapping[int, Callable[[Packet], Layer]] = {
    protocol_names.TCP: _tcp,
    protocol_names.UDP: _udp,
    protocol_names.SCTP: _sctp,
    protocol_names.UDPLITE: _udplite,
    protocol_names.DCCP: _ports,
    protocol_names.ICMP: _icmp,
    protocol_names.ICMPV6: _icmp,
    protocol_names.IGMP: _igmp,
}


@contextmanager
def pcap_writer(path: Path) -> Iterator[Callable[[Packet], None]]:
    """See `simulator.packets.pcap_writer`."""
    try:
        writer = RawPcapWriter(str(path), linktype=_RAW_IP)
    except OSError as error:
        raise Refused((Fault(str(path), f"cannot be written: {error.strerror}", "a file to write"),)) from error

    def write(packet: Packet) -> None:
        seconds, micros = divmod(round((packet.time or 0) * 1_000_000), 1_000_000)
        data = to_wire(packet)
        whole = max(len(data), packet.length or 0)  # the packet may be longer than its captured bytes
        writer.write_packet(data, sec=seconds, usec=micros, wirelen=whole)

    with writer:
        writer.write_header(None)
        yield write
