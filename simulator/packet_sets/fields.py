"""The fields of a packet that rules can ask about: in which order, which values there are, and when there are any.

The order is that of the variables of diagrams. It was found by measuring: interfaces first, then addresses, by which
chains are told apart, then what rules of one chain ask about.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from engine.rulesets.model import Family
from simulator.matches.basic import BITS
from simulator.packets import ConnState

ABSENT = -1
"""The value of a number that a packet does not have, as a port of ICMP."""

STATES = tuple(ConnState)


class Sort(Enum):
    """How the values of a field are told apart."""

    NUMBER = auto()
    NAME = auto()
    BITS = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its numbers run from ``first`` to ``last``.

    ``counted`` says that it tells headers apart when packets are counted; others only say where and how one comes.
    """

    name: str
    sort: Sort
    first: int = 0
    last: int = 0
    counted: bool = False


def fields(family: Family) -> Mapping[str, Field]:
    """Return the fields of packets of a family, in the order in which diagrams ask for them."""
    top = (1 << BITS[family]) - 1
    found = (
        Field("in_interface", Sort.NAME),
        Field("out_interface", Sort.NAME),
        Field("dst", Sort.NUMBER, 0, top, counted=True),
        Field("src", Sort.NUMBER, 0, top, counted=True),
        Field("state", Sort.NUMBER, 0, len(STATES) - 1),
        Field("protocol", Sort.NUMBER, 0, 255, counted=True),
        Field("fragment", Sort.BITS, counted=True),
        Field("dport", Sort.NUMBER, ABSENT, 0xFFFF, counted=True),
        Field("icmp", Sort.NUMBER, ABSENT, 0xFFFF, counted=True),
        Field("sport", Sort.NUMBER, ABSENT, 0xFFFF, counted=True),
        Field("flags", Sort.BITS),
        Field("mark", Sort.BITS),
        Field("tos", Sort.BITS),
        Field("ttl", Sort.NUMBER, 0, 0xFF),
        Field("length", Sort.NUMBER, 0, 0xFFFF),
        Field("mac", Sort.NAME),
    )
    return {field.name: field for field in found}
