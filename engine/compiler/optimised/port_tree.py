"""Search tree of chains that leads a packet to the rules for its port, with few comparisons.

Input: decisions (what a rule does with a packet) with their port ranges. `PortCells` divides the ports into `PortCell`
values: the largest ranges in which the same decisions apply. It updates them when decisions change. `build_port_tree`
returns a tree of `PortTreeNode` values (chains) over the cells.

A range with too many cells is split into four parts. The split depends only on the range and its number of cells. So
equal cells give equal trees, and a small change affects few chains.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Generic

from engine.compiler.optimised.prefix_index import D
from engine.policy.completed_rules import PortRange
from engine.rulesets.ownership import digest

MAX_LEAF_CELLS, FANOUT = 16, 4
"""Ranges with at most ``MAX_LEAF_CELLS`` cells get one chain; larger ones are split into ``FANOUT`` parts.

Measured cost per packet (``make bench-matches``) in nf_tables and iptables-legacy: port range 40 and 20 ns, single port
16 and 20 ns, chain 29 and 14 ns. A fan-out of 4 is the cheapest; 16 cells cost hardly more than 8.
"""

PortRanges = Sequence[PortRange]


@dataclass(frozen=True, slots=True, eq=False)
class PortCell(Generic[D]):
    """Ports from ``first`` to ``last`` with the decisions that apply there, in order."""

    first: int
    last: int
    deciding: tuple[D, ...]


@dataclass(frozen=True, slots=True)
class PortTreeNode(Generic[D]):
    """A chain of the tree: an inner node with child nodes, or a leaf with the cells that overlap its range."""

    first: int
    last: int
    nodes: "tuple[PortTreeNode[D], ...]" = ()
    cells: tuple[PortCell[D], ...] = ()


class PortCells(Generic[D]):
    """Cells of a port range, ascending and without gaps, maintained as decisions come and go.

    Adjacent cells always differ. A cell that does not change stays the same object.
    """

    def __init__(self, within: PortRange) -> None:
        self._within = within
        self._ranges: dict[D, PortRanges] = {}
        self._cells: list[PortCell[D]] = [PortCell(*within, ())]

    def __iter__(self) -> Iterator[PortCell[D]]:
        """Yield the cells."""
        return iter(self._cells)

    def change(self, gone: Iterable[D], new: Mapping[D, PortRanges]) -> None:
        """Remove and add decisions, each with its port ranges; decisions that stay keep their order."""
        touched = [ports for who in gone for ports in self._ranges.pop(who)]
        touched += [ports for ranges in new.values() for ports in ranges]
        self._ranges.update(new)
        if len(touched) * _RECOMPUTE_RATIO > len(self._cells):
            self._cut_anew(self._within, self._ranges)
            return
        for ports in dict.fromkeys(touched):
            self._cut_anew(ports, new)

    def swap(self, instead: Mapping[D, D]) -> None:
        """Replace decisions by others with the same ports."""
        for who, other in instead.items():
            self._ranges[other] = self._ranges.pop(who)
        for place, cell in enumerate(self._cells if instead else ()):
            if not instead.keys().isdisjoint(cell.deciding):
                deciding = tuple(instead.get(who, who) for who in cell.deciding)
                self._cells[place] = PortCell(cell.first, cell.last, deciding)

    def _cut_anew(self, ports: PortRange, new: Iterable[D]) -> None:
        """Recompute the cells that overlap a port range."""
        first, last = max(ports[0], self._within[0]), min(ports[1], self._within[1])
        if first > last:
            return
        begin = bisect_right(self._cells, first, key=_first_of) - 1
        end = bisect_right(self._cells, last, key=_first_of)
        old = self._cells[begin:end]
        there = {who: None for cell in old for who in cell.deciding if who in self._ranges} | dict.fromkeys(new)
        ranges = {who: self._ranges[who] for who in sorted(there, key=attrgetter("number"))}
        cut = list(_cut(ranges, (old[0].first, old[-1].last)))
        # A recomputed cell may now equal its neighbour.
        if begin and self._cells[begin - 1].deciding == cut[0].deciding:
            begin -= 1
            cut[0] = PortCell(self._cells[begin].first, cut[0].last, cut[0].deciding)
        if end < len(self._cells) and self._cells[end].deciding == cut[-1].deciding:
            cut[-1] = PortCell(cut[-1].first, self._cells[end].last, cut[-1].deciding)
            end += 1
        known = {cell.first: cell for cell in self._cells[begin:end]}
        self._cells[begin:end] = [_same(known.get(cell.first), cell) for cell in cut]


_RECOMPUTE_RATIO = 4
"""If there is more than one changed range per this many cells, all cells are recomputed."""


def _first_of(cell: PortCell[D]) -> int:
    return cell.first


def _last_of(cell: PortCell[D]) -> int:
    return cell.last


def _same(known: PortCell[D] | None, cell: PortCell[D]) -> PortCell[D]:
    same = known is not None and (known.last, known.deciding) == (cell.last, cell.deciding)
    return known if known is not None and same else cell


def _cut(ranges: Mapping[D, PortRanges], within: PortRange) -> Iterator[PortCell[D]]:
    """Yield the cells of a port range; ``ranges`` maps decisions, in order, to their port ranges."""
    first, last = within
    deciding = list(ranges)
    begins: dict[int, list[tuple[int, int]]] = {first: []}
    for number, who in enumerate(deciding):
        for low, high in ranges[who]:
            if high < first or low > last:
                continue
            begins.setdefault(max(low, first), []).append((number, 1))
            if high < last:
                begins.setdefault(high + 1, []).append((number, -1))
    held: dict[int, int] = {}
    begun: int | None = None
    numbers: list[int] = []
    for place in sorted(begins):
        for number, step in begins[place]:
            held[number] = held.get(number, 0) + step
            if not held[number]:
                del held[number]
        now = sorted(held)
        if begun is not None and now != numbers:
            yield PortCell(begun, place - 1, tuple(deciding[number] for number in numbers))
        if begun is None or now != numbers:
            begun, numbers = place, now
    yield PortCell(first if begun is None else begun, last, tuple(deciding[number] for number in numbers))


def build_port_tree(leaves: Sequence[PortCell[D]], within: PortRange) -> PortTreeNode[D]:
    """Return the search tree over some cells of a port range; the cells ascend and may have gaps.

    A part without cells has no node; a range with a single non-empty part becomes that part.
    """
    first, last = within
    begin = bisect_left(leaves, first, key=_last_of)
    end = bisect_right(leaves, last, key=_first_of)
    if end - begin <= _most(first, last):
        return PortTreeNode(first, last, cells=tuple(leaves[begin:end]))
    size = (last - first + 1) // FANOUT
    parts = [build_port_tree(leaves, (part, part + size - 1)) for part in range(first, last + 1, size)]
    found = [part for part in parts if part.nodes or part.cells]
    return found[0] if len(found) == 1 else PortTreeNode(first, last, nodes=tuple(found))


@cache
def _most(first: int, last: int) -> int:
    """Return the maximum number of cells for which a port range stays unsplit.

    The limit varies by range (hashed), so that adding one cell seldom splits several ranges at once.
    """
    return MAX_LEAF_CELLS + int(digest(str(first), str(last)), 16) % (MAX_LEAF_CELLS * (FANOUT - 1))
