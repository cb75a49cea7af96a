"""The first of many boxes that a packet is in, by bit vectors.

Every field has a table with a row of bits per class of its values, a bit for each box that the class may be in. A packet
is in the boxes whose bits are set for all of its classes. A bit per word of 64 bits, kept apart, says which words are
worth a look (as in the aggregated bit vectors of Baboescu and Varghese, 2001).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.batch.columns import Numbers, Words

NONE = -1
"""Of boxes: a packet is in none."""

_ONE = np.uint64(1)
_EMPTY, _FULL = np.uint64(0), np.uint64(0xFFFFFFFFFFFFFFFF)

Bits = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Table:
    """The bits of one field or of several together: ``bits`` by class and word, ``marks`` the words that are not 0."""

    bits: Bits
    marks: Bits

    @classmethod
    def of(cls, bits: Bits) -> "Table":
        """Make a table of its bits."""
        return cls(np.ascontiguousarray(bits), packed(bits != 0))

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.bits)


def packed(truths: npt.NDArray[np.bool_]) -> Bits:
    """Return rows of truths as rows of words, the first in the lowest bit."""
    count, width = truths.shape
    padded = np.zeros((count, (width + 63) // 64 * 64), np.bool_)
    padded[:, :width] = truths
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def lowest(words: Words) -> Numbers:
    """Return the place of the lowest bit set; there must be one."""
    return np.bitwise_count((words & (~words + _ONE)) - _ONE).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Dimension:
    """A table and the class of every packet in it."""

    table: Table
    ids: Numbers


def first(dimensions: Sequence[Dimension], rows: Numbers, begin: Numbers, end: Numbers) -> Numbers:
    """Return, for each of some packets, the first box it is in from ``begin`` on and before ``end``, or `NONE`."""
    found = np.full(len(rows), NONE)
    places = np.flatnonzero(begin < end)
    rows, begin, end = rows[places], begin[places], end[places] - 1
    group = begin >> 12
    marks = _marks(dimensions, rows, group) & _from(begin >> 6 & 63)
    while places.size:
        going = _more(dimensions, rows, end, group, marks)
        if not going.all():
            places, rows, begin, end, group, marks = (
                each[going] for each in (places, rows, begin, end, group, marks)
            )
        word = (group << 6) + lowest(marks)
        last = end >> 6
        bits = _bits(dimensions, rows, word)
        bits &= np.where(word == begin >> 6, _from(begin & 63), _FULL)
        bits &= np.where(word == last, _to(end & 63), np.where(word < last, _FULL, _EMPTY))
        hit = bits != 0
        found[places[hit]] = (word[hit] << 6) + lowest(bits[hit])
        marks &= marks - _ONE
        missed = ~hit & (word < last)
        places, rows, begin, end, group, marks = (
            each[missed] for each in (places, rows, begin, end, group, marks)
        )
    return found


def _more(dimensions: Sequence[Dimension], rows: Numbers, end: Numbers, group: Numbers, marks: Words) -> npt.NDArray[np.bool_]:
    """Move packets without a mark on to the next group of words that has one; return which have one left."""
    while True:
        done = np.flatnonzero((marks == 0) & (group < end >> 12))
        if not done.size:
            return marks != 0
        group[done] += 1
        marks[done] = _marks(dimensions, rows[done], group[done])


def _from(place: Numbers) -> Words:
    return _FULL << place.astype(np.uint64)


def _to(place: Numbers) -> Words:
    return _FULL >> (63 - place).astype(np.uint64)


def _marks(dimensions: Sequence[Dimension], rows: Numbers, group: Numbers) -> Words:
    return _all_of([(each.table.marks, each.ids) for each in dimensions], rows, group)


def _bits(dimensions: Sequence[Dimension], rows: Numbers, word: Numbers) -> Words:
    return _all_of([(each.table.bits, each.ids) for each in dimensions], rows, word)


def _all_of(tables: Sequence[tuple[Bits, Numbers]], rows: Numbers, column: Numbers) -> Words:
    found: Words | None = None
    for bits, ids in tables:
        words = bits.ravel()[ids[rows] * bits.shape[1] + column]
        found = words if found is None else np.bitwise_and(found, words, out=found)
    if found is None:
        raise ValueError(tables)
    return found
