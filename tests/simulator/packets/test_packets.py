"""Packets: words, wire bytes and capture files."""

import struct
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Ether
from scapy.utils import wrpcapng

from engine.errors import Refused
from engine.rulesets.model import Family
from simulator.packets import (
    ConnState,
    Packet,
    Skipped,
    from_wire,
    parse_spec,
    pcap_writer,
    protocol_names,
    read_pcap,
    to_wire,
)
from tests.support.packets.packet_builders import packet
from tests.support.packets.packet_strategies import packets


@given(
    packets(),
    st.sampled_from(tuple(ConnState)),
    st.integers(0, 0xFFFFFFFF),
    st.none() | st.integers(0, 0xFFFF),
)
def test_words_of_a_packet_read_back_as_it(seen: Packet, state: ConnState, mark: int, length: int | None) -> None:
    """The words of any packet read back as the same packet."""
    whole = replace(seen, state=state, mark=mark, length=length)
    words = whole.as_spec()
    assert parse_spec(f"{key}={word}" for key, word in words.items()) == whole


@given(packets(), st.none() | st.integers(100, 1500))
def test_wire_bytes_of_a_packet_read_back_as_it(seen: Packet, length: int | None) -> None:
    """The wire bytes of any packet read back as the same packet."""
    data = to_wire(replace(seen, length=length))
    back = from_wire(data, in_interface=seen.in_interface, out_interface=seen.out_interface, mac=seen.mac)
    assert back == replace(seen, length=len(data))
    assert length in {None, len(data)}


@given(packets().filter(lambda seen: not seen.fragment), st.data())
def test_cut_bytes_are_the_same_packet_or_refused(seen: Packet, data: st.DataObject) -> None:
    """Bytes that are cut anywhere are read as the same packet or refused, never as another."""
    whole = to_wire(seen)
    cut = data.draw(st.integers(0, len(whole)))
    try:
        found = from_wire(whole[:cut])
    except Refused:
        return
    assert found == from_wire(whole)


@given(st.binary(max_size=120))
def test_any_bytes_are_a_packet_or_refused(data: bytes) -> None:
    """Any bytes at all are read as a packet or refused."""
    with suppress(Refused):
        assert isinstance(from_wire(data), Packet)


@given(packets())
def test_checksums_are_right(seen: Packet) -> None:
    """The checksums that are written are those scapy computes for what it reads."""
    data = to_wire(seen)
    layer = IP(data) if seen.family is Family.IPV4 else IPv6(data)
    for part in layer.layers():
        for name in ("chksum", "cksum"):
            if name in layer[part].fields:
                del layer[part].fields[name]
    assert bytes(layer) == data


def test_every_fault_of_the_words_is_told_at_once() -> None:
    """All faults come in one refusal, each with its key, what was found and what is expected."""
    with pytest.raises(Refused) as refused:
        parse_spec("dst=1.2.3 src=::1 proto=tcp dport=99999 flags=XX foo=1 bar state=odd ttl=256 len=-1", 3)
    paths = [fault.path for fault in refused.value.faults]
    assert sorted(paths) == sorted(
        ["packet 3", "packet 3", *(f"packet 3: {key}" for key in ("dst", "dport", "flags", "state", "ttl", "len"))]
    )
    assert 'packet 3: dport: found "99999"; expected a port from 0 to 65535' in refused.value.lines


@pytest.mark.parametrize(
    "words,path",
    [
        ("src=10.0.0.1 proto=tcp", "dst"),
        ("src=10.0.0.1 dst=::1 proto=tcp", "dst"),
        ("src=10.0.0.1 dst=10.0.0.2 dport=22", "proto"),
        ("src=10.0.0.1 dst=10.0.0.2 proto=gre dport=22", "dport"),
        ("src=10.0.0.1 dst=10.0.0.2 proto=udp flags=SYN", "flags"),
        ("src=10.0.0.1 dst=10.0.0.2 proto=tcp icmp=8/0", "icmp"),
        ("src=::1 dst=::2 proto=icmp", "proto"),
        ("src=10.0.0.1 dst=10.0.0.2 proto=icmpv6", "proto"),
        ("src=10.0.0.1 dst=10.0.0.2 proto=all", "proto"),
        ("src=10.0.0.1 src=10.0.0.2 dst=10.0.0.2 proto=6", "src"),
        ("src=fe80::1%eth0 dst=fe80::2 proto=6", "src"),
        ("src=10.0.0.1 dst=10.0.0.2 proto=tcp sport=1_0", "sport"),
        ("src=10.0.0.1 dst=10.0.0.2 proto=tcp dport=22 fragment=yes", "dport"),
        ("src=10.0.0.1 dst=10.0.0.2 proto=tcp in=sixteencharacter", "in"),
        ("src=10.0.0.1 dst=10.0.0.2 proto=tcp mac=00:11", "mac"),
    ],
)
def test_words_that_do_not_fit_are_refused(words: str, path: str) -> None:
    """A word that is missing, wrong or about another header is refused by its key."""
    with pytest.raises(Refused) as refused:
        parse_spec(words)
    assert [fault.path for fault in refused.value.faults] == [f"packet 1: {path}"]


def test_what_is_left_out_is_that_of_a_first_packet() -> None:
    """Without a word for it the state is new, the TTL 64, and TCP flags follow the state."""
    first = parse_spec("src=10.0.0.1 dst=10.0.0.2 proto=tcp")
    assert (first.state, first.ttl, first.flags, first.dport) == (ConnState.NEW, 64, frozenset({"SYN"}), None)
    assert packet("state=established").flags == {"ACK"}


@pytest.mark.parametrize(
    "words,icmp",
    [
        ("src=10.0.0.1 dst=10.0.0.2 icmp=echo-request", (8, 0)),
        ("src=10.0.0.1 dst=10.0.0.2 icmp=3/1", (3, 1)),
        ("src=10.0.0.1 dst=10.0.0.2 icmp=host-unreachable", (3, 1)),
        ("src=::1 dst=::2 icmp=echo-request", (128, 0)),
    ],
)
def test_an_icmp_type_implies_the_protocol(words: str, icmp: tuple[int, int]) -> None:
    """An ICMP type, by number or name, implies the ICMP of the addresses' family."""
    found = parse_spec(words)
    assert found.icmp == icmp
    assert found.protocol == protocol_names.ICMP_OF[found.family]


def test_an_icmp_error_carries_the_packet_it_quotes() -> None:
    """An ICMP error is read with the packet it quotes, if only eight bytes of its transport header are there."""
    quoted = packet()
    error = replace(packet("icmp=3/3", "src=10.0.0.2 dst=10.0.0.1"), inner=quoted)
    whole = to_wire(error)
    for data in (whole, whole[: 20 + 8 + 20 + 8]):
        inner = from_wire(data).inner
        assert inner is not None
        assert (inner.src, inner.dst, inner.sport, inner.dport) == (quoted.src, quoted.dst, 40000, 22)
    assert from_wire(whole[:50]).inner is None


@pytest.mark.parametrize("words", ["len=20", "len=39"])
def test_a_length_below_the_headers_is_refused(words: str) -> None:
    """A packet shorter than its own headers cannot be written."""
    with pytest.raises(Refused, match="less than its headers"):
        to_wire(packet(words))


def test_ipv6_extension_headers_are_skipped() -> None:
    """The protocol is the one after all IPv6 extension headers."""
    layer = IPv6(src="::1", dst="::2") / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP(sport=1, dport=53)
    found = from_wire(bytes(layer))
    assert (found.protocol, found.dport, found.fragment) == (protocol_names.UDP, 53, False)


def _pcap(path: Path, link: int, *frames: bytes, order: str = "<", cut: int = 0) -> Path:
    records = [
        struct.pack(order + "IIII", 1_700_000_000, 250_000, len(frame), len(frame) + cut) + frame for frame in frames
    ]
    head = struct.pack(order + "IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link)
    path.write_bytes(head + b"".join(records))
    return path


ETHERNET = bytes.fromhex("0200000000ff020000000001")


@pytest.mark.parametrize(
    "link,header,mac",
    [
        (1, ETHERNET + bytes.fromhex("0800"), "02:00:00:00:00:01"),
        (1, ETHERNET + bytes.fromhex("8100000a0800"), "02:00:00:00:00:01"),
        (1, ETHERNET + bytes.fromhex("88a80001 8100000a 0800"), "02:00:00:00:00:01"),
        (101, b"", None),
        (228, b"", None),
        (0, bytes.fromhex("02000000"), None),
        (113, bytes.fromhex("0000 0001 0006 020000000001 0000 0800"), "02:00:00:00:00:01"),
        (276, bytes.fromhex("0800 0000 00000001 0001 00 06 020000000001 0000"), "02:00:00:00:00:01"),
    ],
)
def test_captures_of_known_link_types_are_read(tmp_path: Path, link: int, header: bytes, mac: str | None) -> None:
    """Ethernet with any VLAN tags, Linux cooked, BSD loopback and raw IP captures all give the packet."""
    wire = to_wire(packet())
    path = _pcap(tmp_path / "a.pcap", link, header + wire, header + wire + bytes(6))
    wanted = replace(packet("in=eth0"), length=len(wire), mac=mac, time=1_700_000_000.25)
    assert list(read_pcap(path, in_interface="eth0")) == [wanted, wanted]


def test_frames_without_a_packet_are_skipped_by_number(tmp_path: Path) -> None:
    """A frame that is cut or foreign comes with its number and the reason, and the next is read."""
    wire = ETHERNET + bytes.fromhex("0800") + to_wire(packet())
    frames = (ETHERNET + bytes.fromhex("0806") + bytes(28), wire[:30], wire[:50], wire, wire[:9])
    found = list(read_pcap(_pcap(tmp_path / "a.pcap", 1, *frames, cut=5)))
    assert found[0] == Skipped(1, "no IP packet, but type 0x0806")
    assert found[1] == Skipped(2, "cut inside the IPv4 header")
    assert found[2] == Skipped(3, "cut inside the TCP header")
    assert isinstance(found[3], Packet)
    assert found[4] == Skipped(5, "cut inside the link header")


def test_an_unknown_link_type_is_skipped(tmp_path: Path) -> None:
    """A frame of a link type that is not known is skipped, and says which."""
    assert list(read_pcap(_pcap(tmp_path / "a.pcap", 147, b"x"))) == [Skipped(1, "link type 147 is not known")]


def test_pcapng_is_read(tmp_path: Path) -> None:
    """A pcapng file gives its packets as a pcap file does."""
    path = tmp_path / "a.pcapng"
    frame = Ether(ETHERNET + bytes.fromhex("0800") + to_wire(packet()))
    frame.time = 1_700_000_000.125
    wrpcapng(str(path), [frame])
    (found,) = read_pcap(path)
    assert isinstance(found, Packet)
    assert (found.dport, found.time) == (22, 1_700_000_000.125)


@given(st.lists(packets(), max_size=4), st.integers(0, 4_000_000_000_000_000))
def test_a_written_capture_reads_back(seen: list[Packet], micros: int) -> None:
    """A capture that was written holds the packets with their times, and reads back as them."""
    given = [replace(each, time=micros / 1_000_000, wire=to_wire(each)) for each in seen]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.pcap"
        with pcap_writer(path) as write:
            for each in given:
                write(each)
        found = [each for each in read_pcap(path) if isinstance(each, Packet)]
    assert [(each.wire, round((each.time or 0) * 1_000_000)) for each in found] == [
        (each.wire, micros) for each in given
    ]


def test_a_capture_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A file that cannot be made is refused by its path."""
    with pytest.raises(Refused, match="cannot be written"), pcap_writer(tmp_path / "none" / "a.pcap"):
        pass


@pytest.mark.parametrize("content", [None, b"", b"not a capture at all"])
def test_a_file_that_is_no_capture_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """A file that is missing, empty or something else is refused by its path."""
    path = tmp_path / "a.pcap"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Refused, match="cannot be read"):
        list(read_pcap(path))


def test_scapy_is_not_loaded_at_start() -> None:
    """Importing the package does not import scapy."""
    code = "import sys, simulator.packets, simulator.conntrack; sys.exit('scapy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
