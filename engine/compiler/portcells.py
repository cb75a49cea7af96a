"""Ports cut into cells on which the same rules decide, and chains that lead a packet to its cell.

The chains are a search tree. Where a node is split is decided by a hash of the port alone, so the same ports make the
same tree however they came, and one more or less touches only the chains around it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.names import digest
from engine.rules import PortRange

_FANOUT = 8
"""Into how many a chain of the tree leads on the average: few comparisons in each against few chains on the way, and
few rules that move when a chain is cut in two."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Ports from ``first`` to ``last``, and the numbers of those that decide there, in order."""

    first: int
    last: int
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """A chain of the tree: it leads to chains of lower levels by ranges of ports, or on level 0 to cells.

    ``first`` is the first port of the first cell below. No two nodes of a tree have the same level and first port.
    """

    level: int
    first: int
    nodes: "tuple[Node, ...]" = ()
    cells: tuple[Cell, ...] = ()


def cells(ranges: Sequence[Sequence[PortRange]], within: PortRange) -> tuple[Cell, ...]:
    """Return the cells of a range of ports, ascending and without a gap.

    ``ranges`` has for each who decides the ports that it is about, in the order in which they decide.
    """
    first, last = within
    begins: dict[int, list[tuple[int, int]]] = {first: []}
    for number, own in enumerate(ranges):
        for low, high in own:
            if high < first or low > last:
                continue
            begins.setdefault(max(low, first), []).append((number, 1))
            if high < last:
                begins.setdefault(high + 1, []).append((number, -1))
    found: list[Cell] = []
    held: dict[int, int] = {}
    places = sorted(begins)
    for place, following in zip(places, [*places[1:], last + 1], strict=True):
        for number, step in begins[place]:
            held[number] = held.get(number, 0) + step
            if not held[number]:
                del held[number]
        numbers = tuple(sorted(held))
        if found and found[-1].numbers == numbers:
            found[-1] = Cell(found[-1].first, following - 1, numbers)
        else:
            found.append(Cell(place, following - 1, numbers))
    return tuple(found)


def tree(leaves: Sequence[Cell]) -> Node:
    """Return the search tree over some cells, ascending, which need not follow each other."""
    levels = [_level(cell.first) for cell in leaves[1:]]
    top = max(levels, default=0)
    if not top:
        return Node(0, leaves[0].first, cells=tuple(leaves))
    cuts = [place for place, level in enumerate(levels, start=1) if level == top]
    parts = [leaves[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(leaves)], strict=True)]
    return Node(top, leaves[0].first, nodes=tuple(map(tree, parts)))


def _level(port: int) -> int:
    """Return how high in a tree a cut before a port stands: each level has so many times fewer as the fan-out."""
    number, level = int(digest(str(port)), 16), 0
    while number % _FANOUT == 0 and number:
        number, level = number // _FANOUT, level + 1
    return level
