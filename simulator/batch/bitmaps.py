"""Builder of the bit tables that the batch engine searches: one row of bits per class of field values.

Values of a field that belong to the same boxes (regions of packets) form one class. `BitmapBuilder` collects the
constraints of each box and returns the tables. `ValueClassifier` maps the packets of a column to classes. Fields with
few classes share a table, which makes the search faster.

Source: Recursive Flow Classification, Gupta and McKeown, 1999.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.rulesets.model import Family
from simulator.batch.bit_vectors import BitMatrix, BitTable, Dimension, packed
from simulator.batch.columns import BoolColumn, Columns, IntColumn, WordColumn
from simulator.batch.edge_values import KINDS
from simulator.batch.regions import Constraint
from simulator.matches.breakpoints import ValueKind

_HIGHEST = 0x10000
"""Upper bound of numbers that have a lookup table; one more than the highest port."""

_MOST_CLASSES, _MOST_WORDS = 4096, 1 << 17
"""Limits of a table that several fields share."""

FieldEdges = Sequence[Mapping[str, Sequence[int]]]


@dataclass(frozen=True, slots=True)
class ValueClassifier:
    """Maps values of a field to classes: by table look-up, or for addresses by binary search in ``edges``."""

    name: str
    classes: IntColumn
    edges: "AddressEdges | None" = None

    def ids(self, columns: Columns, listed: Mapping[str, IntColumn]) -> IntColumn:
        """Return the class of each packet; ``listed`` has the domain index of each value, by listed field."""
        if self.edges is not None:
            places = self.edges.places(columns.src if self.name == "src" else columns.dst)
        elif self.name in KINDS:
            places = np.minimum(columns.numbers[self.name], _HIGHEST) + 1
        else:
            places = listed[self.name]
        found: IntColumn = self.classes[places]
        return found


@dataclass(frozen=True, slots=True)
class AddressEdges:
    """Sorted start addresses of ranges, prepared for binary search.

    IPv6 addresses are ranked by their upper and lower halves, because numpy has no 128-bit integers. IPv4 needs no
    halves: ``upper`` and ``lower`` are not used.
    """

    upper: WordColumn
    lower: WordColumn
    keys: IntColumn | WordColumn

    @classmethod
    def of(cls, edges: Sequence[int], family: Family) -> "AddressEdges":
        """Prepare sorted start addresses for the search; the first must be 0."""
        if family is Family.IPV4:
            keys = np.asarray(edges, np.uint64)
            return cls(keys[:0], keys, keys)
        upper = np.asarray([edge >> 64 for edge in edges], np.uint64)
        lower = np.asarray([edge & 0xFFFFFFFFFFFFFFFF for edge in edges], np.uint64)
        halves = np.unique(upper), np.unique(lower)
        return cls(*halves, _ranked(*halves, (upper, lower)))

    def places(self, addresses: tuple[WordColumn, WordColumn]) -> IntColumn:
        """Return for each address the position of the last start address that is not greater."""
        if not self.upper.size:
            return np.searchsorted(self.keys, addresses[1], side="right") - 1
        return np.searchsorted(self.keys, _ranked(self.upper, self.lower, addresses), side="right") - 1


def _ranked(upper: WordColumn, lower: WordColumn, addresses: tuple[WordColumn, WordColumn]) -> IntColumn:
    """Return numbers that compare with the ranks of the start addresses as the addresses themselves do."""
    place = np.searchsorted(upper, addresses[0], side="right") - 1
    below = np.searchsorted(lower, addresses[1], side="right")
    # Between two upper halves, the lower half of the address no longer matters.
    below = np.where(upper[place] == addresses[0], below, len(lower))
    return place * (len(lower) + 1) + below


@dataclass(slots=True)
class BitmapBuilder:
    """Collects the constraints of each box by field, and builds the bit tables.

    Attributes:
        edges: Range edges of each match, by field.
        sizes: Number of values of each listed field.
        boxes: Number of boxes added so far.
        asked: Constraints by field and box.
    """

    family: Family
    edges: FieldEdges
    sizes: Mapping[str, int]
    boxes: int = 0
    asked: dict[str, dict[int, list[Constraint]]] = field(default_factory=dict)

    def add(self, constraints: Sequence[Constraint]) -> None:
        """Add the constraints of the next box."""
        for each in constraints:
            self.asked.setdefault(each[0], {}).setdefault(self.boxes, []).append(each)
        self.boxes += 1

    def fields(self) -> list[tuple[ValueClassifier, BitTable]]:
        """Return each field that any box constrains, with its table."""
        return [self._field(name, boxes) for name, boxes in sorted(self.asked.items())]

    def _field(self, name: str, boxes: Mapping[int, Sequence[Constraint]]) -> tuple[ValueClassifier, BitTable]:
        cuts = sorted({edge for found in boxes.values() for _, by, _ in found for edge in self._cuts(name, by)})
        count = len(cuts) if name in KINDS else self.sizes[name]
        ranks = {edge: place for place, edge in enumerate(cuts)}
        kept: dict[Constraint, BoolColumn] = {}
        free = np.ones(self.boxes, np.bool_)
        free[list(boxes)] = False
        by_word = np.repeat(packed(free[None, :]).T, count, axis=1)
        for box, constraints in boxes.items():
            for each in constraints:
                if each not in kept:
                    kept[each] = self._spread(each, ranks, count)
            inside = np.logical_and.reduce([kept[each] for each in constraints])
            by_word[box >> 6][inside] |= np.uint64(1 << (box & 63))
        table, classes = merged(np.ascontiguousarray(by_word.T))
        return self._sorter(name, cuts, classes), table

    def _cuts(self, name: str, by: int) -> Sequence[int]:
        return self.edges[by].get(name, ()) if name in KINDS else ()

    def _spread(self, constraint: Constraint, ranks: Mapping[int, int], count: int) -> BoolColumn:
        """Return which classes of a field satisfy a constraint."""
        name, by, places = constraint
        inside = np.zeros(count, np.bool_)
        if name not in KINDS:
            inside[list(places)] = True
            return inside
        own = [*(ranks[edge] for edge in self.edges[by][name]), count]
        for place in places:
            inside[own[place] : own[place + 1]] = True
        return inside

    def _sorter(self, name: str, cuts: Sequence[int], classes: IntColumn) -> ValueClassifier:
        kind = KINDS.get(name)
        if kind is None:
            return ValueClassifier(name, classes)
        if kind is ValueKind.ADDRESS:
            return ValueClassifier(name, classes, AddressEdges.of(cuts, self.family))
        return ValueClassifier(name, classes[np.searchsorted(cuts, np.arange(-1, _HIGHEST + 1), side="right") - 1])


def merged(bits: BitMatrix) -> tuple[BitTable, IntColumn]:
    """Return the table of distinct rows, and the class of each row."""
    rows = np.ascontiguousarray(bits).view(np.dtype((np.void, bits.shape[1] * 8))).ravel()
    _, chosen, classes = np.unique(rows, return_index=True, return_inverse=True)
    return BitTable.of(bits[chosen]), classes.astype(np.int64)


@dataclass(frozen=True, slots=True)
class JointBitmap:
    """Bit table of several fields.

    Attributes:
        sorters: Classifier of each field.
        sizes: Number of classes of each field.
        classes: Row of the table for each combination of the fields' classes.
    """

    sorters: tuple[ValueClassifier, ...]
    sizes: tuple[int, ...]
    classes: IntColumn
    table: BitTable

    def dimension(self, columns: Columns, listed: Mapping[str, IntColumn]) -> Dimension:
        """Return the table together with the class of each packet."""
        ids = self.sorters[0].ids(columns, listed)
        for sorter, size in zip(self.sorters[1:], self.sizes[1:], strict=True):
            ids = ids * size + sorter.ids(columns, listed)
        return Dimension(self.table, self.classes[ids] if len(self.sorters) > 1 else ids)


def shared(fields: Sequence[tuple[ValueClassifier, BitTable]], apart: frozenset[str]) -> list[JointBitmap]:
    """Combine fields that have few classes into shared tables; fields in ``apart``, which rules rewrite, stay alone."""
    found: list[JointBitmap] = []
    for sorter, table in sorted(fields, key=lambda each: each[1].classes):
        alone = JointBitmap((sorter,), (table.classes,), np.arange(table.classes), table)
        fits = [each for each in found[-1:] if _fit(each, table) and sorter.name not in apart]
        if fits and not any(each.name in apart for each in fits[0].sorters):
            found[-1] = _joined(fits[0], alone)
        else:
            found.append(alone)
    return found


def _fit(before: JointBitmap, table: BitTable) -> bool:
    product = len(before.classes) * table.classes
    return product <= _MOST_CLASSES and product * table.bits.shape[1] <= _MOST_WORDS


def _joined(before: JointBitmap, other: JointBitmap) -> JointBitmap:
    bits = before.table.bits[before.classes][:, None, :] & other.table.bits[None, :, :]
    table, classes = merged(bits.reshape(-1, bits.shape[2]))
    return JointBitmap((*before.sorters, *other.sorters), (*before.sizes, *other.sizes), classes, table)
