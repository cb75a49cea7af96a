"""Captures that are cut, damaged, foreign or hostile: every frame comes, or is named with the reason."""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import Refused
from simulator.packets import Packet, Skipped, read_pcap, to_wire

ETHERNET = bytes.fromhex("020000000002 020000000001")
DATA = [
    to_wire(
        Packet(
            src=ip_address("192.0.2.1"),
            dst=ip_address("192.0.2.2"),
            protocol=17,
            sport=1,
            dport=53 + number,
            length=30 + 7 * number,
        )
    )
    for number in range(3)
]
FRAMES = [ETHERNET + b"\x08\x00" + data for data in DATA]


def pcap(frames: Iterable[bytes], order: str = "<", link: int = 1) -> bytes:
    """Return a pcap file; its records end where it may be cut."""
    head = struct.pack(f"{order}IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link)
    return head + b"".join(struct.pack(f"{order}IIII", 1, 0, len(each), len(each)) + each for each in frames)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """Return a block of a pcapng file."""
    body += bytes(-len(body) % 4)
    length = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + length + body + length


def section(order: str = "<", *links: int, options: bytes = b"") -> bytes:
    """Return the beginning of a pcapng section with interfaces of these link types."""
    start = block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    return start + b"".join(block(1, struct.pack(f"{order}HHI", link, 0, 65535) + options, order) for link in links)


def enhanced(frame: bytes, interface: int = 0, order: str = "<", size: int | None = None) -> bytes:
    """Return an enhanced packet block."""
    kept = len(frame) if size is None else size
    return block(6, struct.pack(f"{order}IIIII", interface, 0, 1_000_000, kept, len(frame)) + frame, order)


def pcapng(frames: Iterable[bytes], order: str = "<") -> bytes:
    """Return a pcapng file of one Ethernet interface."""
    return section(order, 1) + b"".join(enhanced(frame, 0, order) for frame in frames)


def read(content: bytes) -> list[Packet | Skipped]:
    """Return what a file of this content gives."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.pcap"
        path.write_bytes(content)
        return list(read_pcap(path))


def ports(found: Sequence[Packet | Skipped]) -> list[int | None]:
    """Return where the packets go, without what was skipped."""
    return [each.dport for each in found if isinstance(each, Packet)]


MAKERS = (pcap, pcapng)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("make", MAKERS)
def test_a_capture_cut_anywhere_gives_the_frames_before(make: Callable[..., bytes], order: str) -> None:
    """Wherever a file ends, its whole frames come, and what is cut is named, or the file is refused in its header."""
    whole = make(FRAMES, order)
    ends = [len(make(FRAMES[:count], order)) for count in range(4)]
    sound = {*ends, len(section(order))} if make is pcapng else {*ends}
    for cut in range(len(whole) + 1):
        try:
            found = read(whole[:cut])
        except Refused as refused:
            assert cut < 24
            assert "cannot be read" in str(refused)  # noqa: PT017 - only some cuts are refused
            continue
        assert ports(found) == [53 + number for number in range(3) if ends[number + 1] <= cut]
        skipped = [each.number for each in found if isinstance(each, Skipped)]
        assert skipped == ([] if cut in sound else [len(found)])


@given(st.sampled_from(MAKERS), st.data())
def test_no_damage_crashes(make: Callable[..., bytes], data: st.DataObject) -> None:
    """Whatever bytes are changed, the file is read or refused in words."""
    content = bytearray(make(FRAMES, data.draw(st.sampled_from("<>"))))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
        content = content or bytearray(1)
    try:
        found = read(bytes(content))
    except Refused as refused:
        assert "cannot be read" in str(refused)  # noqa: PT017 - either is right
        return
    assert [
        each.number for place, each in enumerate(found, 1) if isinstance(each, Skipped) and each.number != place
    ] == []


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "it is empty"),
        (b"\xd4\xc3", "as no capture does"),
        (b"IP 192.0.2.1.1 > 192.0.2.2.53: UDP\n", "as no capture does"),
        (pcap(())[:20], "it ends inside its header"),
        (pcapng(())[:10], "its section header is cut or tells no byte order"),
        (b"\x1f\x8b\x08\x00" + bytes(40), "as no capture does"),
    ],
)
def test_what_is_no_capture_is_refused(content: bytes, said: str) -> None:
    """An empty file, text, a compressed file, and one without a whole header are refused, each in its own words."""
    with pytest.raises(Refused, match=said):
        read(content)


@pytest.mark.parametrize(
    "frame, reason",
    [
        (ETHERNET + bytes.fromhex("0806 0001") + bytes(26), "no IP packet, but type 0x0806"),  # ARP
        (ETHERNET + bytes.fromhex("88cc 0207"), "no IP packet, but type 0x88cc"),  # LLDP
        (ETHERNET + bytes.fromhex("0026 4242") + bytes(36), "no IP packet, but type 0x0026"),  # a bridge's 802.3
        (ETHERNET + bytes.fromhex("8100 0001 0806") + bytes(28), "no IP packet, but type 0x0806"),  # ARP in a VLAN
        (ETHERNET + bytes.fromhex("8100 0001"), "cut inside the link header"),
        (ETHERNET + bytes.fromhex("8100") * 40, "cut inside the link header"),  # tags without end
        (ETHERNET + bytes.fromhex("0800 60") + bytes(40), "cut inside the"),
        (ETHERNET + b"\x08\x00" + DATA[0][:12], "cut inside the IPv4 header"),
        (ETHERNET + b"\x08\x00", "no bytes"),
        (b"", "cut inside the link header"),
    ],
)
@pytest.mark.parametrize("make", MAKERS)
def test_frames_without_a_packet_are_named(make: Callable[..., bytes], frame: bytes, reason: str) -> None:
    """Foreign and short frames are named by number with the reason, and the next one is read."""
    first, second = read(make([frame, FRAMES[0]]))
    assert isinstance(first, Skipped)
    assert first.number == 1
    assert first.reason.startswith(reason)
    assert ports([second]) == [53]


def test_tagged_frames_are_read() -> None:
    """A packet in a VLAN, or in one within another, is read as without."""
    tags = ["8100 0001", "88a8 0002 8100 0001"]
    frames = [ETHERNET + bytes.fromhex(tag) + b"\x08\x00" + DATA[0] for tag in tags]
    assert ports(read(pcap(frames))) == [53, 53]


def test_each_interface_has_its_own_link_type() -> None:
    """In pcapng every frame is read by the link type of its interface; one that is not known is named."""
    content = section("<", 1, 101, 147) + enhanced(FRAMES[0]) + enhanced(DATA[1], 1) + enhanced(FRAMES[2], 2)
    found = read(content + enhanced(DATA[0], 3) + enhanced(FRAMES[1]))
    assert ports(found) == [53, 54, 54]
    assert found[2] == Skipped(3, "link type 147 is not known")
    assert found[3] == Skipped(4, "interface 3 is not described")


def test_each_section_has_its_own_byte_order_and_interfaces() -> None:
    """Files that were put together are read to the end."""
    content = pcapng(FRAMES[:1]) + section(">", 101) + enhanced(DATA[1], order=">")
    assert ports(read(content)) == [53, 54]


@pytest.mark.parametrize(
    "resolution, seconds",
    [(b"", 1.0), (b"\x09\x00\x01\x00\x09\0\0\0", 0.001), (b"\x09\x00\x01\x00\x8a\0\0\0", 976.5625)],
)
def test_times_count_what_their_interface_says(resolution: bytes, seconds: float) -> None:
    """Times are millionths of a second unless the interface says otherwise: powers of ten or of two."""
    (found,) = read(section("<", 1, options=resolution) + enhanced(FRAMES[0]))
    assert isinstance(found, Packet)
    assert found.time == pytest.approx(seconds)


def test_a_simple_block_tells_no_time() -> None:
    """A simple packet block is of the first interface, and has no time; blocks of other kinds give nothing."""
    simple = block(3, struct.pack("<I", len(FRAMES[0])) + FRAMES[0])
    (found,) = read(section("<", 1) + block(5, bytes(12)) + simple + block(0xBAD, b"any"))
    assert isinstance(found, Packet)
    assert (found.dport, found.time) == (53, None)


@pytest.mark.parametrize(
    "content, reason",
    [
        (section("<", 1) + enhanced(FRAMES[0], size=500), "500 bytes do not fit into its block"),
        (section("<", 1) + block(6, bytes(8)), "its block is too short"),
        (section("<", 1) + struct.pack("<II", 6, 7), "a block is 7 bytes long, which cannot be; the rest is not read"),
        (section("<", 1) + struct.pack("<III", 6, 12, 16), "the two lengths of a block differ; the rest is not read"),
        (section("<", 1) + struct.pack("<II", 6, 0xFFFFFFFC), "the file ends inside it"),
        (section() + block(3, struct.pack("<I", 4) + b"data"), "interface 0 is not described"),
        (pcap(()) + struct.pack("<IIII", 0, 0, 0xFFFFFFFF, 60) + bytes(60), "the file ends inside it"),
    ],
)
def test_damaged_records_are_named(content: bytes, reason: str) -> None:
    """A record that cannot be is named, and takes no memory for bytes that are not there."""
    assert read(content) == [Skipped(1, reason)]


def test_a_cut_payload_is_no_fault() -> None:
    """Where a capture kept only the first bytes of each frame, packets are read as long as their headers are there."""
    data = to_wire(
        replace(Packet(src=ip_address("::1"), dst=ip_address("::2"), protocol=17, sport=1, dport=9), length=900)
    )
    (found,) = read(pcap([data[:60]], link=101))
    assert isinstance(found, Packet)
    assert (found.dport, found.length) == (9, 900)
