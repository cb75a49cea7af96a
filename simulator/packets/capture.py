"""Streaming reader of pcap and pcapng files, one frame at a time.

`read_pcap` yields a `Packet` per frame, or `Skipped` with the reason. It raises `Refused` if the file cannot be read or
is not a capture. A file may be truncated anywhere or hostile, so memory use stays bounded. The reader is written by
hand: scapy ends without an error at truncated data, and takes half a second to load. Sources: draft-ietf-opsawg-pcap,
draft-ietf-opsawg-pcapng.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from engine.errors import Fault, Refused, safe_text
from simulator.packets.link_layer import Frame, packet_of
from simulator.packets.model import Packet, Skipped

ByteReader = Callable[[int], bytes]
"""Function that reads the given number of bytes, or fewer at the end of the file."""

CaptureRecords = Iterator[Frame | str]
"""Frames, or the reason why one cannot be read."""

_CHUNK = 1 << 20

_PCAP: Mapping[bytes, tuple[str, float]] = {
    bytes.fromhex("a1b2c3d4"): (">", 1e6),
    bytes.fromhex("d4c3b2a1"): ("<", 1e6),
    bytes.fromhex("a1b23c4d"): (">", 1e9),
    bytes.fromhex("4d3cb2a1"): ("<", 1e9),
}
"""Byte order and clock ticks per second, by the first four bytes of a pcap file."""

_PCAPNG = bytes.fromhex("0a0d0d0a")
_BYTE_ORDERS: Mapping[bytes, str] = {bytes.fromhex("1a2b3c4d"): ">", bytes.fromhex("4d3c2b1a"): "<"}

_INTERFACE, _PACKET, _SIMPLE, _ENHANCED = 1, 2, 3, 6


def read_pcap(path: Path, *, in_interface: str = "", out_interface: str = "") -> Iterator[Packet | Skipped]:
    """See `simulator.packets.read_pcap`."""
    try:
        with path.open("rb") as file:
            for number, found in enumerate(_records(file, path), 1):
                packet = found if isinstance(found, str) else packet_of(found, in_interface, out_interface)
                yield Skipped(number, packet) if isinstance(packet, str) else packet
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error


def _unreadable(path: Path, problem: str) -> Refused:
    return Refused((Fault(str(path), f"cannot be read: {problem}", "a pcap or pcapng file"),))


def _records(file: BinaryIO, path: Path) -> CaptureRecords:
    """Read the file's header; return its frames.

    Raises:
        Refused: The file is not a capture.
    """

    def take(size: int) -> bytes:
        """Read in chunks, so that a wrong size in the file does not allocate memory for bytes that do not exist."""
        if size <= _CHUNK:
            return file.read(size)
        parts: list[bytes] = []
        while size and (part := file.read(min(size, _CHUNK))):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    magic = take(4)
    if not magic:
        raise _unreadable(path, "it is empty")
    if magic == _PCAPNG:
        section = take(8)
        if section[4:] not in _BYTE_ORDERS:
            raise _unreadable(path, "its section header is cut or tells no byte order")
        return _Section(take).records(section)
    if magic not in _PCAP:
        raise _unreadable(path, f"it begins with {safe_text(magic.decode('latin-1'))}, as no capture does")
    header = take(20)
    if len(header) < 20:
        raise _unreadable(path, "it ends inside its header")
    return _pcap(take, header, *_PCAP[magic])


def _pcap(take: ByteReader, header: bytes, order: str, parts: float) -> CaptureRecords:
    link = struct.unpack_from(f"{order}I", header, 16)[0] & 0xFFFF  # the upper bits hold the checksum length
    while record := take(16):
        if len(record) < 16:
            yield "the file ends inside its record header"
            return
        seconds, part, size, _whole = struct.unpack(f"{order}IIII", record)
        data = take(size)
        if len(data) < size:
            yield "the file ends inside it"
            return
        yield Frame(link, data, seconds + part / parts)


@dataclass(frozen=True, slots=True)
class _Interface:
    """Interface description of a section: link type, snap length, clock ticks per second, offset in seconds."""

    link: int
    most: int
    parts: float = 1e6
    offset: int = 0

    def frame(self, data: bytes, time: int) -> Frame:
        return Frame(self.link, data, time / self.parts + self.offset)


@dataclass(slots=True)
class _Section:
    """One section of a pcapng file; each section has its own byte order and interfaces."""

    take: ByteReader
    order: str = ">"
    interfaces: list[_Interface] = field(default_factory=list)

    def records(self, section: bytes) -> CaptureRecords:
        """Yield the frames of the file, starting after a section header's type and its next 8 bytes."""
        try:
            self._begin(section)
            while head := self.take(8):
                kind = self._number(head, 0)
                if head[:4] == _PCAPNG:
                    self._begin(head[4:] + self.take(4))
                    continue
                found = self._block(kind, self._body(self._number(head, 4), 8))
                if found is not None:
                    yield found
        except struct.error:
            yield "the file ends inside it"
        except ValueError as error:
            yield str(error)

    def _begin(self, section: bytes) -> None:
        if section[4:] not in _BYTE_ORDERS:
            raise ValueError("a section header before it is cut or tells no byte order")
        self.order, self.interfaces = _BYTE_ORDERS[section[4:]], []
        self._body(self._number(section, 0), 12)

    def _number(self, data: bytes, at: int) -> int:
        number: int = struct.unpack_from(f"{self.order}I", data, at)[0]
        return number

    def _body(self, length: int, read: int) -> bytes:
        """Return the rest of a block after the ``read`` bytes; a block repeats its length at its end."""
        if length % 4 or length < read + 4:
            raise ValueError(f"a block is {length} bytes long, which cannot be; the rest is not read")
        body = self.take(length - read - 4)
        if self._number(self.take(4), 0) != length:
            raise ValueError("the two lengths of a block differ; the rest is not read")
        return body

    def _block(self, kind: int, body: bytes) -> Frame | str | None:
        """Return the frame of a block, an error text, or None if the block holds no frame."""
        try:
            if kind == _INTERFACE:
                self.interfaces.append(self._interface(body))
            if kind == _ENHANCED:
                return self._frame(body, self._number(body, 0))
            if kind == _PACKET:
                return self._frame(body, struct.unpack_from(f"{self.order}H", body)[0])
            return self._simple(body) if kind == _SIMPLE else None
        except struct.error:
            return "its block is too short"

    def _frame(self, body: bytes, interface: int) -> Frame | str:
        high, low, size, _whole = struct.unpack_from(f"{self.order}IIII", body, 4)
        if interface >= len(self.interfaces):
            return f"interface {interface} is not described"
        if size > len(body) - 20:
            return f"{size} bytes do not fit into its block"
        return self.interfaces[interface].frame(body[20 : 20 + size], high << 32 | low)

    def _simple(self, body: bytes) -> Frame | str:
        """Parse a simple packet block: first interface, truncated at its snap length, no time."""
        size = self._number(body, 0)
        if not self.interfaces:
            return "interface 0 is not described"
        first = self.interfaces[0]
        return Frame(first.link, body[4:][: min(size, first.most or size)])

    def _interface(self, body: bytes) -> _Interface:
        link, most = struct.unpack_from(f"{self.order}HxxI", body)
        options = dict(self._options(body[8:]))
        resolution = options.get(9, b"\6")[:1]
        parts = (2.0 if resolution[0] & 0x80 else 10.0) ** (resolution[0] & 0x7F) if resolution else 1e6
        offset = options.get(14, b"")
        return _Interface(link, most, parts, struct.unpack(f"{self.order}q", offset)[0] if len(offset) == 8 else 0)

    def _options(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        at = 0
        while at + 4 <= len(data):
            code, size = struct.unpack_from(f"{self.order}HH", data, at)
            if code == 0:
                return
            yield code, data[at + 4 : at + 4 + size]
            at += 4 + size + -size % 4
