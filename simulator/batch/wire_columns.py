"""Parses IP packets, given as bytes, into packet columns for the batch engine, many packets at once.

Input: byte strings. Output: `WireColumns`, with the `Columns` and the indexes of byte strings that are not a packet.
The fast parser here handles only plain packets: complete headers, without IPv4 options, extension headers and
fragments.

`simulator.packets.from_wire` parses the other packets. Its results are the reference for the fast parser.
"""

import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.errors import Refused
from engine.rulesets.model import Family
from simulator.batch.columns import HAS_PORTS, NOT_GIVEN, STATES, BoolColumn, Columns, IntColumn, WordColumn, columns_of
from simulator.packets import ConnState, Packet, from_wire, protocol_names

_HEAD = 64
"""Bytes that are read of a packet: an IPv6 header, a TCP header and 4 more."""

_HEADS = struct.Struct(f"{_HEAD}s")
"""Function that cuts bytes to `_HEAD` bytes, or pads them with zeros."""

_SIZES = {Family.IPV4: 20, Family.IPV6: 40}

HeaderBytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class WireColumns:
    """Parsed packets, and the indexes of byte strings that are not a packet or end inside a header."""

    columns: tuple[Columns, ...]
    unreadable: tuple[int, ...]


def columns_of_wires(wires: Sequence[bytes], *, in_interface: str = "", out_interface: str = "") -> WireColumns:
    """Parse packets as seen at these interfaces, like `from_wire`: state NEW and mark 0."""
    interfaces = in_interface, out_interface
    heads = np.frombuffer(b"".join(map(_HEADS.pack, wires)), np.uint8)
    lengths = np.fromiter(map(len, wires), np.int64, len(wires))
    several = [
        _plain(family, wires, heads.reshape(-1, _HEAD), lengths, interfaces) for family in (Family.IPV4, Family.IPV6)
    ]
    plain = np.zeros(len(wires), np.bool_)
    for columns in several:
        plain[columns.at] = True
    packets: list[Packet] = []
    places: list[int] = []
    for place in np.flatnonzero(~plain).tolist():
        with suppress(Refused):
            packets.append(from_wire(wires[place], in_interface=in_interface, out_interface=out_interface))
            places.append(place)
    plain[places] = True
    found = (*(columns for columns in several if len(columns)), *columns_of(packets, places))
    return WireColumns(found, tuple(np.flatnonzero(~plain).tolist()))


def _plain(
    family: Family, wires: Sequence[bytes], heads: HeaderBytes, lengths: IntColumn, interfaces: tuple[str, str]
) -> Columns:
    """Parse the plain packets of one family."""
    size = _SIZES[family]
    fits = (heads[:, 0] == 0x45) if family is Family.IPV4 else (heads[:, 0] >> 4 == 6)
    at = np.flatnonzero(fits & (lengths >= size))
    heads, lengths = heads[at], lengths[at]
    numbers, whole = _NETWORK[family](heads, lengths)
    held = np.minimum(numbers["length"], lengths) - size
    whole &= held >= _least(numbers["protocol"], family)
    if not whole.all():
        at, heads = at[whole], heads[whole]
        numbers = {name: column[whole] for name, column in numbers.items()}
    numbers |= _transport(numbers["protocol"], heads[:, size:], family)
    numbers |= {name: _same(value, len(at)) for name, value in _CONSTANT.items()}
    words = {"in_interface": interfaces[:1], "out_interface": interfaces[1:], "mac": (None,)}
    return Columns(
        family,
        at,
        *_ADDRESSES[family](heads),
        numbers,
        words,
        np.zeros(len(at), np.bool_),
        wire=True,
        packet=lambda row: from_wire(wires[int(at[row])], in_interface=interfaces[0], out_interface=interfaces[1]),
    )


_CONSTANT = {
    "mark": 0,
    "state": STATES.index(ConnState.NEW),
    "fragment": 0,
    "uid": NOT_GIVEN,
    "gid": NOT_GIVEN,
    "in_interface": 0,
    "out_interface": 0,
    "mac": 0,
}


def _same(value: int, count: int) -> IntColumn:
    return np.broadcast_to(np.int64(value), count)


def _word(heads: HeaderBytes, at: int) -> IntColumn:
    """Return 16 bits of each packet as a number, in network byte order."""
    return heads[:, at].astype(np.int64) << 8 | heads[:, at + 1]


def _network_4(heads: HeaderBytes, lengths: IntColumn) -> tuple[dict[str, IntColumn], BoolColumn]:
    told = _word(heads, 2)
    length = np.where(told == 0, lengths, told)  # 0 with segmentation offload: the network card fills it in
    columns = {"protocol": heads[:, 9], "ttl": heads[:, 8], "tos": heads[:, 1]}
    whole = (length >= _SIZES[Family.IPV4]) & (_word(heads, 6) & 0x1FFF == 0)
    return {"length": length, **{name: column.astype(np.int64) for name, column in columns.items()}}, whole


def _network_6(heads: HeaderBytes, lengths: IntColumn) -> tuple[dict[str, IntColumn], BoolColumn]:
    told = _word(heads, 4)
    length = np.where(told == 0, lengths, told + _SIZES[Family.IPV6])
    tos = _word(heads, 0) >> 4 & 0xFF
    numbers = {"length": length, "protocol": heads[:, 6].astype(np.int64), "ttl": heads[:, 7].astype(np.int64)}
    return {**numbers, "tos": tos}, ~_EXTENDS[heads[:, 6]]


_NETWORK: dict[Family, Callable[[HeaderBytes, IntColumn], tuple[dict[str, IntColumn], BoolColumn]]] = {
    Family.IPV4: _network_4,
    Family.IPV6: _network_6,
}

_EXTENDS: BoolColumn = np.isin(np.arange(256), sorted(protocol_names.EXTENSION_HEADERS))
"""Protocol number -> whether it is an IPv6 extension header."""


def _least(protocol: IntColumn, family: Family) -> IntColumn:
    """Return the minimum length in bytes of each packet's transport header."""
    sizes = np.where(HAS_PORTS, 4, 0)
    sizes[protocol_names.TCP] = 20
    sizes[protocol_names.ICMP_OF[family]] = 8
    if family is Family.IPV4:
        sizes[protocol_names.IGMP] = 8
    return sizes[protocol]


def _transport(protocol: IntColumn, payload: HeaderBytes, family: Family) -> dict[str, IntColumn]:
    ported, typed = HAS_PORTS[protocol], protocol == protocol_names.ICMP_OF[family]
    first = _word(payload, 0)
    grouped = (protocol == protocol_names.IGMP) & (family is Family.IPV4)
    return {
        "sport": np.where(ported, first, NOT_GIVEN),
        "dport": np.where(ported, _word(payload, 2), NOT_GIVEN),
        "icmp": np.where(typed, first, NOT_GIVEN),
        "igmp": np.where(grouped, first >> 8, NOT_GIVEN),
        "flags": np.where(protocol == protocol_names.TCP, payload[:, 13], 0).astype(np.int64),
    }


def _addresses_4(heads: HeaderBytes) -> tuple[tuple[WordColumn, WordColumn], tuple[WordColumn, WordColumn]]:
    pairs = np.ascontiguousarray(heads[:, 12:20]).view(">u4").astype(np.uint64)
    upper = np.broadcast_to(np.uint64(0), len(heads))
    return (upper, np.ascontiguousarray(pairs[:, 0])), (upper, np.ascontiguousarray(pairs[:, 1]))


def _addresses_6(heads: HeaderBytes) -> tuple[tuple[WordColumn, WordColumn], tuple[WordColumn, WordColumn]]:
    halves = np.ascontiguousarray(np.ascontiguousarray(heads[:, 8:40]).view(">u8").astype(np.uint64).T)
    return (halves[0], halves[1]), (halves[2], halves[3])


_ADDRESSES = {Family.IPV4: _addresses_4, Family.IPV6: _addresses_6}
