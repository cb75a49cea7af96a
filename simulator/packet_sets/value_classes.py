"""Groups the values of a packet field into classes: values that no condition distinguishes are in the same class.

Input: a range of values, and `Within` conditions (a field is in some ranges). Output: a `ValuePartition`, with the
ranges and the class of each range.

A set of 100,000 addresses splits the addresses into very many ranges. If conditions refer to only a few sets, there are
still few classes, so decision diagrams over class numbers stay small.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from simulator.matches.formula import RangeBounds, Within

Numbers = npt.NDArray[np.int64]

ValueRange = tuple[int, int]
"""First and last value of a range."""

_MACHINE = 1 << 62
"""Numbers below this limit fit into numpy columns of 64-bit integers."""

_MANY = 16
"""Conditions with more ranges are evaluated in numpy, as one bit each; the others are evaluated in Python."""

_WORD = 63


@dataclass(frozen=True)
class ValuePartition:
    """Partition of the values from ``starts[0]`` to ``last`` into ranges, with the class of each range.

    Classes are numbered by first occurrence. ``places`` gives the range indexes of each condition.
    """

    starts: Sequence[int] | Numbers
    last: int
    classes: Numbers
    places: Mapping[Within, tuple[Numbers, Numbers]]

    @cached_property
    def count(self) -> int:
        """Number of classes."""
        return int(self.classes.max()) + 1

    @cached_property
    def weights(self) -> list[int]:
        """Number of values in each class."""
        if isinstance(self.starts, np.ndarray):  # sums of such small numbers are exact in floating point
            lengths = np.diff(self.starts, append=self.last + 1)
            sums: list[int] = np.bincount(self.classes, lengths, self.count).astype(np.int64).tolist()
            return sums
        found = [0] * self.count
        ends = [*self.starts[1:], self.last + 1]
        for start, end, at in zip(self.starts, ends, self.classes.tolist(), strict=True):
            found[at] += end - start
        return found

    @cached_property
    def sums(self) -> list[int]:
        """Cumulative number of values: before each class, and last in all classes."""
        found = [0]
        for weight in self.weights:
            found.append(found[-1] + weight)
        return found

    def members(self, condition: Within) -> Numbers:
        """Return the classes whose values satisfy a condition, sorted.

        Raises:
            KeyError: some values of a class satisfy it and others do not.
        """
        lows, highs = self.places[condition] if condition in self.places else self._found(condition)
        if len(lows) == 1:
            return np.unique(self.classes[lows[0] : highs[0]])
        inside = np.zeros(len(self.classes) + 1, np.int8)
        inside[lows] += 1
        inside[highs] -= 1
        return np.unique(self.classes[np.cumsum(inside[:-1], dtype=np.int8) > 0])

    def _found(self, condition: Within) -> tuple[Numbers, Numbers]:
        """Return the positions of a condition's ranges: the first of each, and the one after its last.

        Raises:
            KeyError: a range of the condition begins or ends inside a range of this partition.
        """
        found = []
        for bounds, beyond in zip(condition.bounds, (0, 1), strict=True):
            wanted = [int(value) + beyond for value in bounds]
            places = [bisect_left(self.starts, value) for value in wanted]
            edges = (self.starts[place] if place < len(self.starts) else self.last + 1 for place in places)
            if any(edge != value for edge, value in zip(edges, wanted, strict=True)):
                raise KeyError(condition)
            found.append(np.asarray(places, np.int64))
        return found[0], found[1]

    def class_of(self, value: int) -> int:
        """Return the class of a value."""
        return int(self.classes[bisect_right(self.starts, value) - 1])

    def ranges(self, classes: Iterable[int]) -> list[ValueRange]:
        """Return the values of some classes, in as few ranges as possible."""
        found: list[ValueRange] = []
        for place in np.flatnonzero(np.isin(self.classes, np.fromiter(classes, np.int64))).tolist():
            low = int(self.starts[place])
            high = int(self.starts[place + 1]) - 1 if place + 1 < len(self.starts) else self.last
            if found and found[-1][1] + 1 == low:
                found[-1] = (found[-1][0], high)
            else:
                found.append((low, high))
        return found


def partition(first: int, last: int, conditions: Sequence[Within]) -> ValuePartition:
    """Return the classes of the values from ``first`` to ``last`` that the conditions distinguish."""
    starts, places = _ranked(first, last, conditions)
    width = len(starts)
    few = [places[each] for each in conditions if each.count <= _MANY]
    many = [places[each] for each in conditions if each.count > _MANY]
    classes = _small(few, width)
    for begin in range(0, len(many), _WORD):
        classes = _combined(classes, _words(many[begin : begin + _WORD], width))
    return ValuePartition(starts, last, _by_occurrence(classes), places)


def _ranked(
    first: int, last: int, conditions: Sequence[Within]
) -> tuple[Sequence[int] | Numbers, dict[Within, tuple[Numbers, Numbers]]]:
    """Return the sorted starts of ranges, and the ranges of each condition as positions (first, one after the last)."""
    bounds = [each.bounds for each in conditions]
    starts: Sequence[int] | Numbers
    if last < _MACHINE:
        whole = np.concatenate([[first], *(_both(pair) for pair in bounds)]).astype(np.int64)
        starts, ranks = _unique(whole)
        ranks = ranks[1:]
    else:  # numpy has no integers of 128 bits
        values = [number for lows, highs in bounds for number in (*lows, *(high + 1 for high in highs))]
        starts = sorted({first, *values})
        rank = {value: place for place, value in enumerate(starts)}
        ranks = np.fromiter(map(rank.__getitem__, values), np.int64, len(values))
    found, begin = dict[Within, tuple[Numbers, Numbers]](), 0
    for each in conditions:
        middle, end = begin + each.count, begin + 2 * each.count
        found[each] = ranks[begin:middle], ranks[middle:end]
        begin = end
    listed = starts[:-1] if starts[-1] > last else starts  # a range that ends at the last value adds a start beyond it
    return listed, found


def _unique(whole: Numbers) -> tuple[Numbers, Numbers]:
    """Return the distinct numbers, sorted, and the position of each number; fast for sorted runs."""
    order = np.argsort(whole, kind="stable")
    ordered = whole[order]
    fresh = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    ranks = np.empty(len(whole), np.int64)
    ranks[order] = np.cumsum(fresh) - 1
    return ordered[fresh], ranks


def _both(bounds: RangeBounds) -> Numbers:
    lows, highs = bounds
    return np.concatenate([np.asarray(lows, np.int64), np.asarray(highs, np.int64) + 1])


def _small(few: Sequence[tuple[Numbers, Numbers]], width: int) -> Numbers:
    """Return the class of each range, by conditions that have few ranges."""
    flips: dict[int, int] = {}
    for number, (lows, highs) in enumerate(few):
        for place in (*lows.tolist(), *highs.tolist()):
            flips[place] = flips.get(place, 0) ^ 1 << number
    numbers: dict[int, int] = {}
    signature, found, lengths, before = 0, [], [], 0
    for place in sorted(flips):
        if place > before:
            found.append(numbers.setdefault(signature, len(numbers)))
            lengths.append(min(place, width) - before)
            before = place
        signature ^= flips[place]
    if before < width:
        found.append(numbers.setdefault(signature, len(numbers)))
        lengths.append(width - before)
    return np.repeat(np.asarray(found, np.int64), lengths)


def _words(many: Sequence[tuple[Numbers, Numbers]], width: int) -> Numbers:
    """Return for each range a number with one bit per condition, for up to 63 conditions."""
    flips = np.zeros(width + 1, np.int64)
    for number, (lows, highs) in enumerate(many):
        flips[lows] ^= 1 << number
        flips[highs] ^= 1 << number
    return np.bitwise_xor.accumulate(flips[:-1])


def _combined(left: Numbers, right: Numbers) -> Numbers:
    """Return one number for each pair of two columns."""
    dense = _dense(right)
    return _dense(left * (int(dense.max()) + 1) + dense)


def _dense(column: Numbers) -> Numbers:
    """Return the position of each number of a column among its distinct numbers, which must be few."""
    found: Numbers = np.searchsorted(np.unique(column), column)
    return found


def _by_occurrence(classes: Numbers) -> Numbers:
    """Return classes renumbered by first occurrence, because neighbours are often used together."""
    firsts = np.empty(int(classes.max()) + 1, np.int64)
    firsts[classes[::-1]] = np.arange(len(classes))[::-1]  # the last write wins, which is the first occurrence
    ranks = np.empty(len(firsts), np.int64)
    ranks[np.argsort(firsts)] = np.arange(len(firsts))
    found: Numbers = ranks[classes]
    return found
