"""Index that finds for each address the first of several ordered decisions (accept, drop, …) that applies to it.

Input: decisions with their address sets (`DecisionEntries`). Output: `FirstMatch` values: a prefix, and the first
decision inside it and around it. With this index, the optimised layout needs one set lookup per distinct decision
instead of one per policy rule. A small change recomputes only the prefixes in the changed address sets and those
inside them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Generic

from engine.compiler.optimised.prefix_index import D, DecisionEntries, PrefixEntries, PrefixIndex
from engine.ip_types import Network
from engine.policy.prefix_sets import Prefix, PrefixEntry, is_within, prefix_of


@dataclass(frozen=True, slots=True)
class FirstMatch(Generic[D]):
    """First decision inside a prefix (``here``) and around it (``around``), which differ; None is no decision."""

    network: Network
    here: D | None
    around: D | None


class FirstMatchIndex(Generic[D]):
    """First decision on every address, among the decisions in the index."""

    def __init__(self, width: int) -> None:
        self._prefixes = PrefixIndex[D](width)
        self._firsts: dict[Prefix, FirstMatch[D]] = {}

    def change(
        self, gone: Sequence[DecisionEntries[D]], new: Sequence[DecisionEntries[D]]
    ) -> tuple[Mapping[Prefix, FirstMatch[D]], Mapping[Prefix, FirstMatch[D]]]:
        """Remove and add decisions; return the recomputed first matches, before and after.

        Decisions that stay must keep their relative order; their numbers may change.
        """
        roots = list(self._outermost({prefix_of(entry.network) for _, own in (*gone, *new) for entry in own}))
        before = {
            prefix: first
            for root in roots
            for prefix in self._prefixes.within(root)
            if (first := self._firsts.pop(prefix, None)) is not None
        }
        self._prefixes.change(gone, new)
        after = {prefix: first for root in roots for prefix, first in self._swept(root)}
        self._firsts |= after
        return before, after

    def _outermost(self, prefixes: set[Prefix]) -> Iterator[Prefix]:
        """Yield the prefixes that no other one contains; the prefix of all addresses if there are many."""
        if len(prefixes) * _RECOMPUTE_RATIO > len(self._prefixes):
            yield (0, 0)
            return
        last: Prefix | None = None
        for prefix in sorted(prefixes):
            if last is None or not is_within(prefix, last, self._prefixes.width):
                yield (last := prefix)

    def _swept(self, root: Prefix) -> Iterator[tuple[Prefix, FirstMatch[D]]]:
        """Yield each prefix within ``root`` whose first decision differs from that around it."""
        active = _Active[D]()
        for named in self._prefixes.around(root):
            active.flip(named.decisions)
        outer = active.first()
        path: list[tuple[Prefix, int, D | None]] = []
        for prefix in self._prefixes.within(root):
            named = self._prefixes.at(prefix)
            while path and not is_within(prefix, path[-1][0], self._prefixes.width):
                active.undo(path.pop()[1])
            around = path[-1][2] if path else outer
            before = active.flip(named.decisions)
            here = active.first()
            path.append((prefix, before, here))
            if here is not around:
                yield prefix, FirstMatch(named.network, here, around)


_RECOMPUTE_RATIO = 4
"""If more than one in this many prefixes changes, the whole index is recomputed."""


def remaining_addresses(who: D, own: PrefixEntries, before: Iterable[DecisionEntries[D]], width: int) -> PrefixEntries:
    """Return the addresses of a decision that no decision in ``before`` covers, in the fewest entries."""
    _, found = FirstMatchIndex[D](width).change((), [*before, (who, own)])
    return tuple(
        PrefixEntry(first.network, matches=first.here is who)
        for first in found.values()
        if who in (first.here, first.around)
    )


class _Active(Generic[D]):
    """Decisions that apply at the current address, with the first of them; changes can be undone."""

    def __init__(self) -> None:
        self._on: dict[D, bool] = {}
        self._heap: list[tuple[int, D]] = []
        self._done: list[tuple[D, bool]] = []

    def flip(self, sayings: Mapping[D, bool]) -> int:
        """Apply changes and return the mark for `undo`."""
        before = len(self._done)
        for who, on in sayings.items():
            if self._on.get(who, False) != on:
                self._done.append((who, not on))
                self._set(who, on=on)
        return before

    def undo(self, before: int) -> None:
        """Undo all changes since a mark."""
        while len(self._done) > before:
            who, on = self._done.pop()
            self._set(who, on=on)

    def first(self) -> D | None:
        """Return the first active decision, or None."""
        while self._heap and not self._on[self._heap[0][1]]:
            heappop(self._heap)
        return self._heap[0][1] if self._heap else None

    def _set(self, who: D, *, on: bool) -> None:
        self._on[who] = on
        if on:
            heappush(self._heap, (who.number, who))
