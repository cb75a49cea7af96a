"""Search for the first box that contains a packet, with aggregated bit vectors, for many packets at once.

A box is a region of packets, such as those that match a rule. Values of a field that no box distinguishes form a class.
Each field has a table with one row of bits per class, and one bit per box.

A packet is in the boxes whose bits are set in its rows of all fields. To skip empty parts of a row, a summary has one
bit per 64-bit machine word, set if the word is not zero. Output: the index of the box per packet, or `NONE`.

Source: Baboescu and Varghese, "Scalable Packet Classification", 2001.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.batch.columns import BoolColumn, IntColumn, WordColumn

NONE = -1
"""Box index for a packet that is in no box."""

_ONE = np.uint64(1)
_EMPTY, _FULL = np.uint64(0), np.uint64(0xFFFFFFFFFFFFFFFF)

BitMatrix = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class BitTable:
    """Bit table of one or more fields.

    Attributes:
        bits: One row for each value class; bit n of a row is set if the class is in box n. Words have 64 bits.
        marks: Summary of ``bits``: one bit for each word, set if the word is not 0.
    """

    bits: BitMatrix
    marks: BitMatrix

    @classmethod
    def of(cls, bits: BitMatrix) -> "BitTable":
        """Return a table with these bits."""
        return cls(np.ascontiguousarray(bits), packed(bits != 0))

    @property
    def classes(self) -> int:
        """Number of value classes."""
        return len(self.bits)


def packed(truths: BoolColumn) -> BitMatrix:
    """Pack rows of booleans into rows of 64-bit words, the first boolean in the lowest bit."""
    count, width = truths.shape
    padded = np.zeros((count, (width + 63) // 64 * 64), np.bool_)
    padded[:, :width] = truths
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def lowest(words: WordColumn) -> IntColumn:
    """Return the position of the lowest bit that is set; at least one must be set."""
    return np.bitwise_count((words & (~words + _ONE)) - _ONE).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Dimension:
    """Bit table, with the row (value class) of each packet."""

    table: BitTable
    ids: IntColumn


@dataclass(slots=True)
class _Seekers:
    """Packets whose box is not found yet.

    Attributes:
        places: Index of each packet in the result.
        begin: First box of the search; ``last`` is the last box.
        group: Current group of 64 words.
        marks: Words of the group that are still to be read, one bit each.
    """

    places: IntColumn
    rows: IntColumn
    begin: IntColumn
    last: IntColumn
    group: IntColumn
    marks: WordColumn

    def some(self, which: BoolColumn) -> "_Seekers":
        return _Seekers(
            self.places[which],
            self.rows[which],
            self.begin[which],
            self.last[which],
            self.group[which],
            self.marks[which],
        )


def first(dimensions: Sequence[Dimension], rows: IntColumn, begin: IntColumn, end: IntColumn) -> IntColumn:
    """Return for each packet the first box that contains it, or `NONE`.

    Args:
        dimensions: Bit tables; a packet is in a box if the box's bit is set in every table.
        rows: Position of each packet in the dimensions.
        begin: First box to search, for each packet.
        end: Index after the last box to search, for each packet.
    """
    found = np.full(len(rows), NONE)
    places = np.flatnonzero(begin < end)
    rows, begin, group = rows[places], begin[places], begin[places] >> 12
    marks = _all_of([(each.table.marks, each.ids) for each in dimensions], rows, group) & _from(begin >> 6 & 63)
    seekers = _Seekers(places, rows, begin, end[places] - 1, group, marks)
    while seekers.places.size:
        seekers = _marked(dimensions, seekers)
        box = _look(dimensions, seekers)
        hit = box != NONE
        found[seekers.places[hit]] = box[hit]
        seekers.marks &= seekers.marks - _ONE
        seekers = seekers.some(~hit)
    return found


def _marked(dimensions: Sequence[Dimension], seekers: _Seekers) -> _Seekers:
    """Move packets without a mark to the next group of words that has one; drop packets that have none left."""
    while True:
        empty = seekers.marks == 0
        if not empty.any():
            return seekers
        moving = np.flatnonzero(empty & (seekers.group < seekers.last >> 12))
        if not moving.size:
            return seekers.some(~empty)
        seekers.group[moving] += 1
        tables = [(each.table.marks, each.ids) for each in dimensions]
        seekers.marks[moving] = _all_of(tables, seekers.rows[moving], seekers.group[moving])


def _look(dimensions: Sequence[Dimension], seekers: _Seekers) -> IntColumn:
    """Return the first box of each packet in its next marked word, or `NONE`."""
    word, last = (seekers.group << 6) + lowest(seekers.marks), seekers.last >> 6
    bits = _all_of([(each.table.bits, each.ids) for each in dimensions], seekers.rows, word)
    bits &= np.where(word == seekers.begin >> 6, _from(seekers.begin & 63), _FULL)
    bits &= np.where(word == last, _to(seekers.last & 63), np.where(word < last, _FULL, _EMPTY))
    return np.where(bits != 0, (word << 6) + lowest(bits), NONE)


def _from(place: IntColumn) -> WordColumn:
    return _FULL << place.astype(np.uint64)


def _to(place: IntColumn) -> WordColumn:
    return _FULL >> (63 - place).astype(np.uint64)


def _all_of(tables: Sequence[tuple[BitMatrix, IntColumn]], rows: IntColumn, column: IntColumn) -> WordColumn:
    """Return the bitwise AND of one word per table: the word of the packet's class at the given column."""
    found = np.full(len(rows), _FULL)
    for bits, ids in tables:
        found &= bits.ravel()[ids[rows] * bits.shape[1] + column]
    return found
