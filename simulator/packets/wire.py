"""The only module that knows scapy: packets to wire bytes, and frames of capture files to packets."""

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from scapy.error import Scapy_Exception
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6Unknown, IPv6, IPv6ExtHdrFragment
from scapy.layers.sctp import SCTP
from scapy.packet import Packet as Layer
from scapy.packet import Raw
from scapy.utils import RawPcapNgReader, RawPcapReader, RawPcapWriter

from engine.errors import Fault, Refused, shown
from engine.ruleset import Family
from simulator.packets import names
from simulator.packets.dissect import ICMP_ERRORS, from_wire
from simulator.packets.model import TCP_FLAGS, Packet, Skipped

_FRAGMENT_OFFSET = 64
"""Of a later fragment, in units of 8 bytes; any but 0 will do."""


def to_wire(packet: Packet) -> bytes:
    """As `simulator.packets.to_wire`."""
    if packet.wire is not None:
        return packet.wire
    if packet.family is Family.IPV6 and packet.protocol in names.EXTENSION_HEADERS:
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
    foreign = packet.protocol in names.ICMP_OF.values() and packet.protocol != names.ICMP_OF[packet.family]
    return Raw(b"") if packet.fragment or foreign or write is None else write(packet)


def _tcp(packet: Packet) -> Layer:
    bits = sum(1 << place for place, flag in enumerate(TCP_FLAGS) if flag in packet.flags)
    return TCP(sport=packet.sport or 0, dport=packet.dport or 0, flags=bits)


def _udp(packet: Packet) -> Layer:
    return UDP(sport=packet.sport or 0, dport=packet.dport or 0)


def _sctp(packet: Packet) -> Layer:
    return SCTP(sport=packet.sport or 0, dport=packet.dport or 0)


def _ports(packet: Packet) -> Layer:
    """Just the ports: scapy knows no DCCP."""
    return Raw(struct.pack("!HH8x", packet.sport or 0, packet.dport or 0))


def _udplite(packet: Packet) -> Layer:
    """A header with its mandatory checksum over just itself (RFC 3828); the pseudo header counts the payload too."""
    size = max(8, (packet.length or 0) - (20 if packet.family is Family.IPV4 else 40))
    header = struct.pack("!HHH", packet.sport or 0, packet.dport or 0, 8)
    pseudo = packet.src.packed + packet.dst.packed + struct.pack("!II", size, packet.protocol)
    return Raw(header + struct.pack("!H", _checksum(pseudo + header)))


def _icmp(packet: Packet) -> Layer:
    """Put together by hand: scapy's fields after type and code differ from type to type."""
    kind, code = packet.icmp or (0, 0)
    quotes = kind in ICMP_ERRORS[packet.family]
    rest = bytes(4) if quotes else struct.pack("!HH", packet.icmp_id or 0, 0)
    quoted = to_wire(packet.inner) if quotes and packet.inner else b""
    if packet.family is Family.IPV6:
        return ICMPv6Unknown(type=kind, code=code, msgbody=rest + quoted)
    unchecked = bytes((kind, code, 0, 0)) + rest + quoted
    return Raw(unchecked[:2] + struct.pack("!H", _checksum(unchecked)) + unchecked[4:])


def _igmp(packet: Packet) -> Layer:
    """Write the header of version 2 (RFC 2236), whose group is where the message goes; version 3 begins alike."""
    if packet.family is Family.IPV6:
        return Raw(b"")
    unchecked = bytes((packet.igmp or 0, 0, 0, 0)) + packet.dst.packed
    return Raw(unchecked[:2] + struct.pack("!H", _checksum(unchecked)) + unchecked[4:])


def _checksum(data: bytes) -> int:
    """The Internet checksum of RFC 1071."""
    padded = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    return 0xFFFF - (total - 1) % 0xFFFF - 1 if total else 0xFFFF


_TRANSPORT: Mapping[int, Callable[[Packet], Layer]] = {
    names.TCP: _tcp,
    names.UDP: _udp,
    names.SCTP: _sctp,
    names.UDPLITE: _udplite,
    names.DCCP: _ports,
    names.ICMP: _icmp,
    names.ICMPV6: _icmp,
    names.IGMP: _igmp,
}


def read_pcap(path: Path, *, in_interface: str = "", out_interface: str = "") -> Iterator[Packet | Skipped]:
    """As `simulator.packets.read_pcap`."""
    try:
        # Given a name instead of an open file, scapy leaks the file when it holds no capture.
        with path.open("rb") as file, RawPcapReader(file) as reader:  # type: ignore[arg-type] # its metaclass takes it
            for number, (data, about) in enumerate(reader, 1):
                link = getattr(about, "linktype", None)  # per frame in pcapng, per file in pcap
                found = _frame(number, data, reader.linktype if link is None else link, (in_interface, out_interface))
                time = _time(about, nano=getattr(reader, "nano", False))
                yield replace(found, time=time) if isinstance(found, Packet) else found
    except (OSError, Scapy_Exception, struct.error) as error:
        problem = f"cannot be read: {shown(str(error))}"
        raise Refused((Fault(str(path), problem, "a pcap or pcapng file"),)) from error


def _time(about: object, *, nano: bool) -> float | None:
    """Return when a frame was captured, in seconds since 1970; a simple packet block of pcapng tells no time."""
    match about:
        case RawPcapReader.PacketMetadata(sec=seconds, usec=part):
            return float(seconds + part / (1e9 if nano else 1e6))
        case RawPcapNgReader.PacketMetadata(tshigh=int(high), tslow=int(low), tsresol=int(resolution)) if resolution:
            return (high << 32 | low) / resolution
    return None


@contextmanager
def pcap_writer(path: Path) -> Iterator[Callable[[Packet], None]]:
    """As `simulator.packets.pcap_writer`."""
    try:
        writer = RawPcapWriter(str(path), linktype=_RAW_IP)
    except OSError as error:
        raise Refused((Fault(str(path), f"cannot be written: {error.strerror}", "a file to write"),)) from error

    def write(packet: Packet) -> None:
        seconds, micros = divmod(round((packet.time or 0) * 1_000_000), 1_000_000)
        data = to_wire(packet)
        whole = max(len(data), packet.length or 0)  # a capture may hold less of a packet
        writer.write_packet(data, sec=seconds, usec=micros, wirelen=whole)

    with writer:
        writer.write_header(None)
        yield write


def _frame(number: int, data: bytes, link: int, interfaces: tuple[str, str]) -> Packet | Skipped:
    if link not in _LINKS:
        return Skipped(number, f"link type {link} is not known")
    kind, start, mac = _LINKS[link](data)
    while kind in _VLAN_TAGS:
        kind, start = int.from_bytes(data[start + 2 : start + 4]), start + 4
    if kind not in _IP_KINDS:
        reason = "cut inside the link header" if len(data) < start else f"no IP packet, but type {kind:#06x}"
        return Skipped(number, reason)
    try:
        return from_wire(data[start:], in_interface=interfaces[0], out_interface=interfaces[1], mac=mac)
    except Refused as refused:
        return Skipped(number, refused.faults[0].problem)


_RAW_IP = 101
_VLAN_TAGS = frozenset({0x8100, 0x88A8, 0x9100})
_IP_KINDS = frozenset({0x0800, 0x86DD})

Link = tuple[int, int, str | None]
"""The EtherType of what a frame carries, where that begins, and the sender's MAC address."""


def _mac(data: bytes) -> str | None:
    return data.hex(":") if len(data) == 6 else None


def _ethernet(data: bytes) -> Link:
    return int.from_bytes(data[12:14]), 14, _mac(data[6:12])


def _cooked(data: bytes) -> Link:
    """Linux cooked capture, version 1 (LINKTYPE_LINUX_SLL of tcpdump.org)."""
    size = int.from_bytes(data[4:6])
    return int.from_bytes(data[14:16]), 16, _mac(data[6 : 6 + min(size, 8)])


def _cooked_2(data: bytes) -> Link:
    """Linux cooked capture, version 2 (LINKTYPE_LINUX_SLL2)."""
    return int.from_bytes(data[0:2]), 20, _mac(data[12 : 12 + min(data[11], 8)]) if len(data) >= 20 else None


def _raw(data: bytes) -> Link:
    version = data[0] >> 4 if data else 0
    return {4: 0x0800, 6: 0x86DD}.get(version, version), 0, None


def _loopback(data: bytes) -> Link:
    """BSD loopback: the address family as a word, in the byte order of the host that captured."""
    return _raw(data[4:])[0], 4, None


_LINKS: Mapping[int, Callable[[bytes], Link]] = {
    0: _loopback,
    1: _ethernet,
    12: _raw,
    14: _raw,
    _RAW_IP: _raw,
    108: _loopback,
    113: _cooked,
    228: _raw,
    229: _raw,
    276: _cooked_2,
}
