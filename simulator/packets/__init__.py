"""Packets as plain values, and their forms outside: words, wire bytes, capture files.

scapy is known only to `simulator.packets.scapy_io`; it costs half a second to import, so it is loaded by the first
call that needs it. This package knows nothing of rules.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from simulator.packets import capture
from simulator.packets.dissect import from_wire
from simulator.packets.header_layout import HeaderLayout, bytes_of, known_bits, layout, rewritten
from simulator.packets.model import TCP_FLAGS, Address, Connection, ConnectionTuple, ConnState, Packet, Skipped
from simulator.packets.spec import parse_spec

__all__ = [
    "TCP_FLAGS",
    "Address",
    "ConnState",
    "Connection",
    "ConnectionTuple",
    "HeaderLayout",
    "Packet",
    "Skipped",
    "bytes_of",
    "from_wire",
    "known_bits",
    "layout",
    "parse_spec",
    "pcap_writer",
    "read_pcap",
    "rewritten",
    "to_wire",
]


def to_wire(packet: Packet) -> bytes:
    """Return the packet as IP bytes with right checksums; fields that are not given are written as zero.

    Raises:
        Refused: its protocol is an IPv6 extension header, or its length is less than its headers take.
    """
    from simulator.packets import scapy_io  # noqa: PLC0415 - scapy costs half a second, which start-up must not pay

    return scapy_io.to_wire(packet)


def read_pcap(path: Path, *, in_interface: str = "", out_interface: str = "") -> Iterator[Packet | Skipped]:
    """Yield every frame of a pcap or pcapng file in order, seen at the interfaces given.

    A packet tells when its frame was captured. A frame that is cut or is not IP comes as `Skipped` with its number and
    the reason; nothing is guessed. Where the file is cut or damaged, the last is such a one.

    Raises:
        Refused: the file cannot be read or is no capture.
    """
    return capture.read_pcap(path, in_interface=in_interface, out_interface=out_interface)


@contextmanager
def pcap_writer(path: Path) -> Iterator[Callable[[Packet], None]]:
    """Give a function that adds a packet to a new pcap file: its IP bytes without a link header, at its own time.

    Raises:
        Refused: the file cannot be made; or, by the function, as `to_wire`.
    """
    from simulator.packets import scapy_io  # noqa: PLC0415 - as in to_wire

    with scapy_io.pcap_writer(path) as write:
        yield write
