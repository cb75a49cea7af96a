"""Packets as numpy columns, one array per field: the input of the batch engine.

Input: `Packet` values. Output of `columns_of`: `Columns`, one for each address family. Text, such as interface names,
is stored as numbers, with a table of their meaning.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engine.rulesets.model import Family
from simulator.packets import ConnState, Packet, protocol_names
from simulator.packets.dissect import FLAGS

IntColumn = npt.NDArray[np.int64]
WordColumn = npt.NDArray[np.uint64]
BoolColumn = npt.NDArray[np.bool_]

ColumnValue = object
"""Value of a field as in `Packet`."""

NOT_GIVEN = -1
"""Number that stands for None in a column."""

STATES = tuple(ConnState)

_LOW = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Columns:
    """Packets of one family as columns.

    Attributes:
        at: Index of each packet in its original sequence.
        src: Upper and lower 64 bits of the source address; ``dst`` likewise.
        numbers: Other fields as numbers. Flags are the header's byte, ICMP is type and code in 16 bits, a state is its
            index in `STATES`. Interfaces and MAC addresses are indexes into ``words``.
        words: Distinct texts of each text field.
        single: Rows that columns cannot represent completely.
        wire: Whether all other rows have known bytes; otherwise none has.
        packet: Returns the packet of a row.
    """

    family: Family
    at: npt.NDArray[np.intp]
    src: tuple[WordColumn, WordColumn]
    dst: tuple[WordColumn, WordColumn]
    numbers: Mapping[str, IntColumn]
    words: Mapping[str, tuple[str | None, ...]]
    single: BoolColumn
    wire: bool
    packet: Callable[[int], Packet]

    def __len__(self) -> int:
        return len(self.at)

    def value(self, field: str, number: int) -> ColumnValue:
        """Return the field value that a number of a column stands for."""
        if field in self.words:
            return self.words[field][number]
        return VALUES[field](number)

    def part(self, begin: int, end: int) -> "Columns":
        """Return the rows from ``begin`` up to ``end``, as views of the arrays."""
        some = slice(begin, end)
        return replace(
            self,
            at=self.at[some],
            src=(self.src[0][some], self.src[1][some]),
            dst=(self.dst[0][some], self.dst[1][some]),
            numbers={name: column[some] for name, column in self.numbers.items()},
            single=self.single[some],
            packet=lambda row: self.packet(begin + row),
        )


def _given(number: int) -> int | None:
    return None if number == NOT_GIVEN else number


def _icmp(number: int) -> tuple[int, int] | None:
    return None if number == NOT_GIVEN else (number >> 8, number & 0xFF)


VALUES: Mapping[str, Callable[[int], ColumnValue]] = {
    "protocol": int,
    "fragment": bool,
    "flags": FLAGS.__getitem__,
    "ttl": int,
    "tos": int,
    "mark": int,
    "state": lambda number: STATES[number],
    "icmp": _icmp,
    **dict.fromkeys(("sport", "dport", "length", "igmp", "uid", "gid"), _given),
}
"""Field -> function from a number of its column to the field's value."""

WORDED = ("in_interface", "out_interface", "mac")

_FLAG_BITS = {flags: number for number, flags in enumerate(FLAGS)}
_STATE_PLACES = {state: place for place, state in enumerate(STATES)}


def _number(value: int | None) -> int:
    return NOT_GIVEN if value is None else value


_NUMBERS: Mapping[str, Callable[[Packet], int]] = {
    "protocol": lambda packet: packet.protocol,
    "fragment": lambda packet: packet.fragment,
    "flags": lambda packet: _FLAG_BITS[packet.flags],
    "ttl": lambda packet: packet.ttl,
    "tos": lambda packet: packet.tos,
    "mark": lambda packet: packet.mark,
    "state": lambda packet: _STATE_PLACES[packet.state],
    "icmp": lambda packet: NOT_GIVEN if packet.icmp is None else packet.icmp[0] << 8 | packet.icmp[1],
    "sport": lambda packet: _number(packet.sport),
    "dport": lambda packet: _number(packet.dport),
    "length": lambda packet: _number(packet.length),
    "igmp": lambda packet: _number(packet.igmp),
    "uid": lambda packet: _number(packet.uid),
    "gid": lambda packet: _number(packet.gid),
}


def columns_of(packets: Sequence[Packet], at: Sequence[int] | None = None) -> tuple[Columns, ...]:
    """Convert packets to columns, one per family.

    Args:
        packets: Packets of any family.
        at: Index of each packet in its original sequence; None means 0, 1, 2 and so on.
    """
    places = np.arange(len(packets)) if at is None else np.asarray(at, dtype=np.intp)
    versions = np.fromiter((packet.src.version for packet in packets), np.int64, len(packets))
    found = []
    for family, version in ((Family.IPV4, 4), (Family.IPV6, 6)):
        rows = np.flatnonzero(versions == version)
        if rows.size:
            found.append(_of_family(family, [packets[row] for row in rows.tolist()], places[rows]))
    return tuple(found)


def _of_family(family: Family, packets: Sequence[Packet], at: npt.NDArray[np.intp]) -> Columns:
    count = len(packets)
    numbers = {name: np.fromiter(map(read, packets), np.int64, count) for name, read in _NUMBERS.items()}
    words: dict[str, tuple[str | None, ...]] = {}
    for name in WORDED:
        places: dict[str | None, int] = {}
        listed = (places.setdefault(getattr(packet, name), len(places)) for packet in packets)
        numbers[name] = np.fromiter(listed, np.int64, count)
        words[name] = tuple(places)
    known = np.fromiter((packet.connection is not None or packet.zone != 0 for packet in packets), np.bool_, count)
    wired = np.fromiter((packet.wire is not None for packet in packets), np.bool_, count)
    return Columns(
        family,
        at,
        _addresses([int(packet.src) for packet in packets]),
        _addresses([int(packet.dst) for packet in packets]),
        numbers,
        words,
        known | incomplete(numbers, family) | (~wired & wired.any()),
        bool(wired.any()),
        packets.__getitem__,
    )


def _addresses(found: Sequence[int]) -> tuple[WordColumn, WordColumn]:
    upper = np.fromiter((number >> 64 for number in found), np.uint64, len(found))
    return upper, np.fromiter((number & _LOW for number in found), np.uint64, len(found))


def incomplete(numbers: Mapping[str, IntColumn], family: Family) -> BoolColumn:
    """Return a column that is true for rows that lack a field which their protocol always has."""
    protocol, whole = numbers["protocol"], numbers["fragment"] == 0
    ported = HAS_PORTS[protocol] & ((numbers["sport"] == NOT_GIVEN) | (numbers["dport"] == NOT_GIVEN))
    untyped = (protocol == protocol_names.ICMP_OF[family]) & (numbers["icmp"] == NOT_GIVEN)
    lacking: BoolColumn = whole & (ported | untyped)
    return lacking


HAS_PORTS: BoolColumn = np.isin(np.arange(256), sorted(protocol_names.PORT_PROTOCOLS))
"""Protocol number -> whether its header begins with the source and the destination port."""
