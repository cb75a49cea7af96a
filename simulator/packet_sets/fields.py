"""Packet fields that a packet set can distinguish: their order, their range of values, and their kind.

Input of `fields`: an address family. Output: a `PacketField` for each field, in the order of the BDD variables. The
order decides the size of the diagrams and was chosen by measurement: interfaces, then addresses, then other fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from engine.rulesets.model import Family
from simulator.matches.basic import BITS
from simulator.matches.formula import STATES

ABSENT = -1
"""Value of a numeric field that a packet does not have, such as the port of an ICMP packet."""


class FieldSort(Enum):
    """Kind of a field: a number with ranges, a name, or independent bits."""

    NUMBER = auto()
    NAME = auto()
    BITS = auto()


@dataclass(frozen=True, slots=True)
class PacketField:
    """Field with values from ``first`` to ``last``.

    ``counted`` says whether the field is part of a header for `simulator.packet_sets.counting.count`.
    """

    name: str
    sort: FieldSort
    first: int = 0
    last: int = 0
    counted: bool = False


def fields(family: Family) -> Mapping[str, PacketField]:
    """Return the fields of packets of a family, in the variable order of the diagrams."""
    top = (1 << BITS[family]) - 1
    found = (
        PacketField("in_interface", FieldSort.NAME),
        PacketField("out_interface", FieldSort.NAME),
        PacketField("dst", FieldSort.NUMBER, 0, top, counted=True),
        PacketField("src", FieldSort.NUMBER, 0, top, counted=True),
        PacketField("state", FieldSort.NUMBER, 0, len(STATES) - 1),
        PacketField("protocol", FieldSort.NUMBER, 0, 255, counted=True),
        PacketField("fragment", FieldSort.BITS, counted=True),
        PacketField("dport", FieldSort.NUMBER, ABSENT, 0xFFFF, counted=True),
        PacketField("icmp", FieldSort.NUMBER, ABSENT, 0xFFFF, counted=True),
        PacketField("sport", FieldSort.NUMBER, ABSENT, 0xFFFF, counted=True),
        PacketField("flags", FieldSort.BITS),
        PacketField("mark", FieldSort.BITS),
        PacketField("tos", FieldSort.BITS),
        PacketField("ttl", FieldSort.NUMBER, 0, 0xFF),
        PacketField("length", FieldSort.NUMBER, 0, 0xFFFF),
        PacketField("mac", FieldSort.NAME),
    )
    return {field.name: field for field in found}
