"""Which of some ordered decisions is the first for an address, worked out beforehand and kept up as they come and go.

What many look-ups one after the other would find is then found by one look-up for each different decision. A change of
one decision works out anew only what is within the prefixes that it names.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Generic

from engine.compiler.optimised.prefix_index import D, DecisionEntries, PrefixEntries, PrefixIndex
from engine.policy.prefix_sets import Network, Prefix, PrefixEntry, is_within, prefix_of


@dataclass(frozen=True, slots=True)
class FirstMatch(Generic[D]):
    """Who is the first within a prefix, and who around it, which is somebody else; None is nobody."""

    network: Network
    here: D | None
    around: D | None


class FirstMatchIndex(Generic[D]):
    """Who decides first on which addresses, of those whose sets were put in."""

    def __init__(self, width: int) -> None:
        self._prefixes = PrefixIndex[D](width)
        self._firsts: dict[Prefix, FirstMatch[D]] = {}

    def change(
        self, gone: Sequence[DecisionEntries[D]], new: Sequence[DecisionEntries[D]]
    ) -> tuple[Mapping[Prefix, FirstMatch[D]], Mapping[Prefix, FirstMatch[D]]]:
        """Take sets out and put others in; return where it was worked out anew, what held there and what holds.

        Those who stay keep their order, whatever numbers they have now.
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
        """Yield the prefixes that are in no other; or the one of all addresses, where they are many."""
        if len(prefixes) * _MANY > len(self._prefixes):
            yield (0, 0)
            return
        last: Prefix | None = None
        for prefix in sorted(prefixes):
            if last is None or not is_within(prefix, last, self._prefixes.width):
                yield (last := prefix)

    def _swept(self, root: Prefix) -> Iterator[tuple[Prefix, FirstMatch[D]]]:
        """Yield each prefix of one and in it that has another first than what is around it."""
        active = _Active[D]()
        for named in self._prefixes.around(root):
            active.flip(named.sayings)
        outer = active.first()
        path: list[tuple[Prefix, int, D | None]] = []
        for prefix in self._prefixes.within(root):
            named = self._prefixes.at(prefix)
            while path and not is_within(prefix, path[-1][0], self._prefixes.width):
                active.undo(path.pop()[1])
            around = path[-1][2] if path else outer
            before = active.flip(named.sayings)
            here = active.first()
            path.append((prefix, before, here))
            if here is not around:
                yield prefix, FirstMatch(named.network, here, around)


_MANY = 4
"""From one changed prefix of so many on, all are worked out anew at once."""


def left_of(who: D, own: PrefixEntries, before: Iterable[DecisionEntries[D]], width: int) -> PrefixEntries:
    """Return the addresses of a set that no other one before it has, in the fewest entries."""
    _, found = FirstMatchIndex[D](width).change((), [*before, (who, own)])
    return tuple(
        PrefixEntry(first.network, matches=first.here is who)
        for first in found.values()
        if who in (first.here, first.around)
    )


class _Active(Generic[D]):
    """Those who decide on an address, of whom the first can be told; changes are undone in turn."""

    def __init__(self) -> None:
        self._on: dict[D, bool] = {}
        self._heap: list[tuple[int, D]] = []
        self._done: list[tuple[D, bool]] = []

    def flip(self, sayings: Mapping[D, bool]) -> int:
        """Make changes, and return what takes them back."""
        before = len(self._done)
        for who, on in sayings.items():
            if self._on.get(who, False) != on:
                self._done.append((who, not on))
                self._set(who, on=on)
        return before

    def undo(self, before: int) -> None:
        """Take changes back."""
        while len(self._done) > before:
            who, on = self._done.pop()
            self._set(who, on=on)

    def first(self) -> D | None:
        """Return the first who decides, None where there is nobody."""
        while self._heap and not self._on[self._heap[0][1]]:
            heappop(self._heap)
        return self._heap[0][1] if self._heap else None

    def _set(self, who: D, *, on: bool) -> None:
        self._on[who] = on
        if on:
            heappush(self._heap, (who.number, who))
