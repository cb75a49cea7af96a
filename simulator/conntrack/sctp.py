"""SCTP state machine of connection tracking: which state an association has after each packet.

Input: an `Association` and a `Packet`. Output: whether the packet is valid; if it is, the association gets its next
state. A `Packet` that gives header fields but no bytes has no SCTP chunks to read, so it counts as valid and changes
nothing. States, transitions and timeouts are those of the kernel's nf_conntrack_proto_sctp.c; verification tags are
checked as in RFC 9260, section 8.5.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from simulator.packets import Packet, protocol_names
from simulator.packets.header_layout import layout

_INIT, _INIT_ACK, _HEARTBEAT, _HEARTBEAT_ACK, _ABORT = 1, 2, 4, 5, 6
_SHUTDOWN, _SHUTDOWN_ACK, _ERROR, _COOKIE_ECHO, _COOKIE_ACK, _SHUTDOWN_COMPLETE = 7, 8, 9, 10, 11, 14

_ALONE = frozenset({_INIT, _INIT_ACK, _SHUTDOWN_COMPLETE})
"""Chunk types that must be the only chunk of a packet."""

_FIRST = _ALONE | {_COOKIE_ECHO, _COOKIE_ACK}

_NEVER_NEW = frozenset({_ABORT, _SHUTDOWN_COMPLETE, _COOKIE_ACK})
"""Chunk types that cannot open an association (section 8.4)."""

_OWN_TAG = frozenset({_INIT, _SHUTDOWN_COMPLETE, _COOKIE_ECHO, _ABORT, _SHUTDOWN_ACK, _HEARTBEAT, _HEARTBEAT_ACK})
"""Chunk types with their own tag check."""

# Next state by direction, chunk type and current state; "IV" is invalid.
_STATES = ("NO", "CL", "CW", "CE", "ES", "SS", "SR", "SA", "HS")
_TABLES: Mapping[tuple[bool, int], Mapping[str, str]] = {
    (reply, chunk): dict(zip(_STATES, row.split(), strict=True))
    for reply, chunk, row in (
        (False, _INIT, "CL CL CW CE ES CL CL SA CW"),
        (False, _INIT_ACK, "CL CL CW CE ES SS SR SA CL"),
        (False, _ABORT, "CL CL CL CL CL CL CL CL CL"),
        (False, _SHUTDOWN, "CL CL CW CE SS SS SR SA CL"),
        (False, _SHUTDOWN_ACK, "SA CL CW CE ES SA SA SA SA"),
        (False, _ERROR, "CL CL CW CE ES SS SR SA CL"),
        (False, _COOKIE_ECHO, "CL CL CE CE ES SS SR SA CL"),
        (False, _COOKIE_ACK, "CL CL CW ES ES SS SR SA CL"),
        (False, _SHUTDOWN_COMPLETE, "CL CL CW CE ES SS SR CL CL"),
        (False, _HEARTBEAT, "HS CL CW CE ES SS SR SA HS"),
        (False, _HEARTBEAT_ACK, "CL CL CW CE ES SS SR SA HS"),
        (True, _INIT, "IV CL CW CE ES SS SR SA IV"),
        (True, _INIT_ACK, "IV CW CW CE ES SS SR SA IV"),
        (True, _ABORT, "IV CL CL CL CL CL CL CL IV"),
        (True, _SHUTDOWN, "IV CL CW CE SR SS SR SA IV"),
        (True, _SHUTDOWN_ACK, "IV CL CW CE ES SA SA SA IV"),
        (True, _ERROR, "IV CL CW CL ES SS SR SA IV"),
        (True, _COOKIE_ECHO, "IV CL CE CE ES SS SR SA IV"),
        (True, _COOKIE_ACK, "IV CL CW ES ES SS SR SA IV"),
        (True, _SHUTDOWN_COMPLETE, "IV CL CW CE ES SS SR CL IV"),
        (True, _HEARTBEAT, "IV CL CW CE ES SS SR SA HS"),
        (True, _HEARTBEAT_ACK, "IV CL CW CE ES SS SR SA ES"),
    )
}

TIMEOUTS: Mapping[str, int] = {
    "NO": 10,
    "CL": 10,
    "CW": 3,
    "CE": 3,
    "ES": 210,
    "SS": 3,
    "SR": 3,
    "SA": 3,
    "HS": 30,
}
"""Seconds that an idle association is kept, by state: the kernel's defaults (nf_conntrack-sysctl)."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk: its type, the T bit of its flags, and the tag that an INIT or INIT ACK announces."""

    kind: int
    reflected: bool = False
    announced: int = 0


@dataclass(slots=True)
class Association:
    """State of one association.

    ``tags`` holds the tag that packets must carry, by direction (True is reply). ``begun`` holds the directions that
    sent an INIT.
    """

    state: str = "NO"
    tags: dict[bool, int] = field(default_factory=lambda: {False: 0, True: 0})
    begun: set[bool] = field(default_factory=set)
    assured: bool = False

    def opens(self, packet: Packet) -> bool:
        """Return whether the packet may open the association; update the state if so."""
        chunks = chunks_of(packet)
        if chunks is None:
            return True
        kinds = {chunk.kind for chunk in chunks}
        if not _well_formed(chunks) or kinds & _NEVER_NEW:
            return False
        for chunk in chunks:
            if (False, chunk.kind) not in _TABLES or (chunk.kind == _INIT and _tag(packet)):
                return False
            self.tags[True] = chunk.announced if chunk.kind == _INIT else _tag(packet)
        return self._takes(packet, chunks, reply=False)

    def follows(self, packet: Packet, *, reply: bool) -> bool:
        """Return whether a later packet is valid; update the state if so."""
        chunks = chunks_of(packet)
        if chunks is None:
            return True
        return _well_formed(chunks) and self._takes(packet, chunks, reply=reply)

    def _takes(self, packet: Packet, chunks: Sequence[Chunk], *, reply: bool) -> bool:
        if not {chunk.kind for chunk in chunks} & _OWN_TAG and _tag(packet) != self.tags[reply]:
            return False
        for chunk in chunks:
            if not self._tagged(chunk, _tag(packet), reply=reply):
                return False
            after = _TABLES.get((reply, chunk.kind), {}).get(self.state, self.state)
            if after == "IV" or not self._announced(chunk, reply=reply):
                return False
            self.assured = self.assured or (after == "ES" and self.state != "ES")
            self.state = after
        return True

    def _tagged(self, chunk: Chunk, tag: int, *, reply: bool) -> bool:
        """Return whether the packet's tag is correct for one of its chunks (section 8.5.1)."""
        if chunk.kind == _INIT:
            return tag == 0
        if chunk.kind in {_ABORT, _SHUTDOWN_COMPLETE}:
            return tag == self.tags[reply is not chunk.reflected]
        if chunk.kind == _COOKIE_ECHO:
            return tag == self.tags[reply]
        if chunk.kind in {_HEARTBEAT, _HEARTBEAT_ACK} and not self.tags[reply]:
            self.tags[reply] = tag
        return True

    def _announced(self, chunk: Chunk, *, reply: bool) -> bool:
        """Store the tag that the other side must use from now on; return False if it contradicts the stored one."""
        if chunk.kind == _INIT:
            if self.begun == {False, True}:
                self.begun.discard(not reply)
            self.begun.add(reply)
            self.tags[not reply] = chunk.announced
        elif chunk.kind == _INIT_ACK:
            known, both = self.tags[not reply], self.begun == {False, True}
            unasked = (not reply) not in self.begun and known
            if (unasked or both) and known != chunk.announced:
                return False
            self.tags[not reply] = chunk.announced
        return True


def chunks_of(packet: Packet) -> Sequence[Chunk] | None:
    """Return the chunks of an SCTP packet, or None if its bytes are not known."""
    if packet.wire is None or packet.protocol != protocol_names.SCTP:
        return None
    found = layout(packet.wire)
    return None if found.transport is None else tuple(_chunks(found.data[found.transport + 12 :]))


def _chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks; a chunk of length 0 ends the packet, because the next offset is unknown."""
    at = 0
    while at + 4 <= len(data):
        kind, flags, size = struct.unpack_from("!BBH", data, at)
        announced = data[at + 4 : at + 8] if kind in {_INIT, _INIT_ACK} else b""
        yield Chunk(kind if size else -1, bool(flags & 1), int.from_bytes(announced))
        if not size:
            return
        at += size + 3 & ~3


def _tag(packet: Packet) -> int:
    found = layout(packet.wire) if packet.wire is not None else None
    header = found.payload(8) if found else None
    return int.from_bytes(header[4:]) if header else 0


def _well_formed(chunks: Sequence[Chunk]) -> bool:
    """Return whether the packet has chunks, each has a length, and their combination is allowed."""
    kinds = [chunk.kind for chunk in chunks]
    alone = not set(kinds) & _ALONE or len(kinds) == 1
    return bool(kinds) and -1 not in kinds and alone and not set(kinds[1:]) & _FIRST
