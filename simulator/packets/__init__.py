"""Packets as plain values, and their conversion to and from ``key=value`` words (SPEC), wire bytes and capture files.

Only `simulator.packets.scapy_io` imports scapy. That import takes half a second, so the first call that needs it loads
the module. This package does not depend on rules or rulesets.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.ip_types import Address
from simulator.packets import capture
from simulator.packets.dissect import from_wire
from simulator.packets.header_layout import HeaderLayout, bytes_of, known_bits, layout, rewritten
from simulator.packets.model import TCP_FLAGS, Connection, ConnectionTuple, ConnState, Packet, Skipped
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
    """Return the packet as IP bytes with correct checksums; fields that are not given are written as zero.

    Raises:
        Refused: The protocol is an IPv6 extension header, or the length is less than the headers need.
    """
    from simulator.packets import scapy_io  # noqa: PLC0415 - scapy costs half a second, which start-up must not pay

    return scapy_io.to_wire(packet)


def read_pcap(path: Path, *, in_interface: str = "", out_interface: str = "") -> Iterator[Packet | Skipped]:
    """Yield every frame of a pcap or pcapng file in order, as seen at the given interfaces.

    Each packet has the capture time of its frame. A frame that is truncated or is not IP is yielded as `Skipped`, with
    its number and the reason. If the file itself is truncated or damaged, the last item is a `Skipped`.

    Raises:
        Refused: The file cannot be read or is not a capture.
    """
    return capture.read_pcap(path, in_interface=in_interface, out_interface=out_interface)


@contextmanager
def pcap_writer(path: Path) -> Iterator[Callable[[Packet], None]]:
    """Yield a function that appends a packet to a new pcap file: IP bytes without a link header, at the packet's time.

    Raises:
        Refused: The file cannot be created. The yielded function raises it as `to_wire` does.
    """
    from simulator.packets import scapy_io  # noqa: PLC0415 - as in to_wire

    with scapy_io.pcap_writer(path) as write:
        yield write
