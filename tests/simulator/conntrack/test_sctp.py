"""SCTP's connection states by chunks and verification tags, against what nf_conntrack does."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.conntrack import follow
from simulator.netfilter import Walker
from simulator.packets import Packet, from_wire
from tests.support.packets.packet_builders import filtering, packet
from tests.support.packets.packet_drafts import COOKIE_ACK, COOKIE_ECHO, DATA, INIT, INIT_ACK, Draft, chunk

ABORT, SHUTDOWN, ERROR, HEARTBEAT, SHUTDOWN_COMPLETE = 6, 7, 9, 4, 14
PORTS = packet(base="src=10.0.0.1 dst=10.0.0.2 proto=sctp sport=40000 dport=80")


def sctp(way: str, tag: int, *chunks: bytes) -> Packet:
    """A packet from the client (``>``) or the server (``<``), with a verification tag."""
    src, dst = (PORTS.src, PORTS.dst) if way == ">" else (PORTS.dst, PORTS.src)
    ports = (40000, 80) if way == ">" else (80, 40000)
    return from_wire(Draft(src, dst, 132, *ports, tag=tag, payload=b"".join(chunks)).wire(1))


def states(*packets: Packet) -> list[str]:
    """The state of each packet where all are accepted."""
    return [str(answer.packet.state) for answer in follow(Walker(filtering()), packets)]


OPENED = (sctp(">", 0, chunk(INIT, 5)), sctp("<", 5, chunk(INIT_ACK, 6)))


def test_an_association_is_established_by_its_handshake() -> None:
    """INIT opens it, and its tags let the rest through."""
    rest = sctp(">", 6, chunk(COOKIE_ECHO)), sctp("<", 5, chunk(COOKIE_ACK)), sctp(">", 6, chunk(DATA))
    assert states(*OPENED, *rest) == ["NEW", *["ESTABLISHED"] * 4]


@pytest.mark.parametrize(
    "kind,state",
    [
        (INIT, "NEW"),
        (DATA, "INVALID"),
        (ABORT, "INVALID"),
        (SHUTDOWN_COMPLETE, "INVALID"),
        (HEARTBEAT, "NEW"),
        (ERROR, "NEW"),
    ],
)
def test_some_chunks_begin_an_association(kind: int, state: str) -> None:
    """What belongs to an association that nobody knows begins none, but for what the kernel takes."""
    assert states(sctp(">", 0, chunk(kind))) == [state]


@pytest.mark.parametrize(
    "kind,state", [(INIT, "INVALID"), (SHUTDOWN, "INVALID"), (ERROR, "INVALID"), (HEARTBEAT, "NEW")]
)
def test_a_first_packet_with_a_tag_begins_none_but_by_a_heartbeat(kind: int, state: str) -> None:
    """Nobody has announced a tag yet."""
    assert states(sctp(">", 7, chunk(kind))) == [state]


@pytest.mark.parametrize("way,right", [(">", 6), ("<", 5)])
@given(tag=st.integers(0, 0xFFFFFFFF))
def test_data_with_another_tag_is_invalid(way: str, right: int, tag: int) -> None:
    """Each side must bear the tag that the other has announced."""
    assert states(*OPENED, sctp(way, tag, chunk(DATA)))[-1] == ("ESTABLISHED" if tag == right else "INVALID")


def test_an_init_stands_alone() -> None:
    """Beside an INIT no other chunk may stand, and a cookie only at the beginning."""
    assert states(sctp(">", 0, chunk(INIT), chunk(DATA))) == ["INVALID"]
    assert states(*OPENED, sctp(">", 6, chunk(DATA), chunk(COOKIE_ECHO)))[-1] == "INVALID"


@pytest.mark.parametrize("payload", [b"", b"\0\0", struct.pack("!BBH", DATA, 0, 0) + bytes(12)])
def test_a_packet_without_a_whole_chunk_is_invalid(payload: bytes) -> None:
    """There must be a chunk, and it must have a length."""
    assert states(*OPENED, sctp(">", 6, payload))[-1] == "INVALID"


def test_packets_whose_bytes_are_not_known_are_two_directions() -> None:
    """In words a packet has no chunks, so it is taken as valid."""
    back = packet(base="src=10.0.0.2 dst=10.0.0.1 proto=sctp sport=80 dport=40000")
    assert states(PORTS, back, PORTS) == ["NEW", "ESTABLISHED", "ESTABLISHED"]
