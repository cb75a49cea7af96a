"""Domains of packet fields: the values of a field that the batch engine must distinguish.

For fields with few values (such as protocol, flags, interface), a domain lists the values seen in the packets, up to
`MOST_VALUES`. Packets with further values are evaluated one by one, by the `Walker`. Other fields (such as addresses
and ports) use ranges.

`ColumnValues` holds one column of packets with its distinct values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

import numpy as np

from engine.rulesets.model import Family, Hook
from simulator.batch.columns import STATES, VALUES, Columns, ColumnValue, IntColumn
from simulator.batch.edge_values import KINDS, Edges
from simulator.context import UNKNOWN_INTERFACE
from simulator.matches.breakpoints import ValueKind
from simulator.netfilter.walker import INTERFACES

SIDES = ("in_interface", "out_interface")

LISTED = ("protocol", "fragment", "flags", "igmp", "ttl", "tos", "mark", "state", *SIDES, "mac", "uid", "gid")
"""Fields with few values, which a domain lists one by one; other fields use ranges."""

MOST_VALUES = 1024
"""Limit of values in a domain; packets with further values go to the `Walker`."""

UNLISTED = -1
"""Position of a value that is in no domain."""

_DENSE = 1 << 16


@dataclass(slots=True)
class Domains:
    """Values of listed fields seen so far."""

    listed: dict[str, list[ColumnValue]] = field(default_factory=lambda: {name: [] for name in LISTED})

    def __post_init__(self) -> None:
        self.listed["state"] = list(STATES)

    def ranged(self, edges: Edges | None) -> Mapping[str, Sequence[int]]:
        """Return the edges of each field that uses ranges."""
        return {} if edges is None else {name: edges[kind] for name, kind in KINDS.items()}

    def add(self, name: str, values: Sequence[ColumnValue]) -> bool:
        """Add values unless the domain would exceed `MOST_VALUES`; return whether any was added."""
        known = self.listed[name]
        new = set(values).difference(known)
        if not new or len(known) + len(new) > MOST_VALUES:
            return False
        known += [value for value in dict.fromkeys(values) if value in new]
        return True

    def places(self, seen: "ColumnValues", name: str) -> IntColumn:
        """Return the position of each packet's value in its domain, or `UNLISTED`."""
        ranks = {value: place for place, value in enumerate(self.listed[name])}
        return seen.through([ranks.get(value, UNLISTED) for value in seen.values])


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """Column with its distinct numbers and the field values that they represent at a hook."""

    column: IntColumn
    numbers: IntColumn
    values: Sequence[ColumnValue]

    @classmethod
    def of(cls, columns: Columns, name: str, hook: Hook) -> "ColumnValues":
        """Return a column with its distinct numbers; interfaces that the hook does not have become the empty name."""
        column = columns.numbers[name]
        numbers = _different(column)
        values = [columns.value(name, int(number)) for number in numbers]
        if name in SIDES:
            has = INTERFACES[hook][SIDES.index(name)]
            values = [(value or UNKNOWN_INTERFACE) if has else "" for value in values]
        return cls(column, numbers, values)

    def through(self, others: Sequence[int]) -> IntColumn:
        """Return the column with each number replaced; ``others`` has one replacement per distinct number, in order."""
        if len(others) == 1:
            return np.full(len(self.column), others[0])
        least, span = int(self.numbers[0]), int(self.numbers[-1]) - int(self.numbers[0])
        if span > _DENSE:
            return np.asarray(others)[np.searchsorted(self.numbers, self.column)]
        table = np.zeros(span + 1, np.int64)
        table[self.numbers - least] = others
        return table[self.column - least]


def _different(column: IntColumn) -> IntColumn:
    """Return the distinct numbers, sorted."""
    if column.strides == (0,):
        return column[:1]
    least, most = int(column.min()), int(column.max())
    if most - least > _DENSE:
        return np.unique(column)
    return np.flatnonzero(np.bincount(column - least)) + least


def representative(name: str, edge: int, family: Family) -> ColumnValue:
    """Return the field value at an edge, as in `Packet`."""
    if KINDS[name] is ValueKind.ADDRESS:
        return IPv4Address(edge) if family is Family.IPV4 else IPv6Address(edge)
    return VALUES[name](edge)
