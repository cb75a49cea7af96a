"""Which of some ordered decisions is the first for an address, worked out beforehand as sets that do not overlap.

What ``n`` look-ups one after the other would find is then found by one look-up for each different decision.
"""

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Generic, TypeVar

from engine.addresses import Entry, Network

K = TypeVar("K", bound=Hashable)

Entries = tuple[Entry, ...]
"""A longest-prefix set; None in place of one is every address."""


@dataclass(frozen=True, slots=True)
class Resolved(Generic[K]):
    """The addresses of each decision, in the fewest entries; ``rest`` decides on all others, if anything does."""

    sets: dict[K, Entries]
    rest: K | None = None


def resolved(decisions: Sequence[tuple[Entries | None, K]]) -> Resolved[K]:
    """Return for each decision the addresses that it is the first for.

    Decisions that are equal share a set. Those behind one about every address decide on nothing.
    """
    ordered: list[Entries] = []
    keys: list[K] = []
    rest: K | None = None
    for entries, decision in decisions:
        if entries is None:
            rest = decision
            break
        ordered.append(entries)
        keys.append(decision)
    found: dict[K, list[Entry]] = {}
    for network, key, around in _changes(ordered, keys, rest):
        if key is not None and key != rest:
            found.setdefault(key, []).append(Entry(network))
        if around is not None and around != rest:
            found.setdefault(around, []).append(Entry(network, matches=False))
    return Resolved({key: tuple(found[key]) for key in dict.fromkeys(keys) if key in found}, rest)


def _changes(
    ordered: Sequence[Entries], keys: Sequence[K], rest: K | None
) -> Iterator[tuple[Network, K | None, K | None]]:
    """Yield each prefix within which another decision is the first than around it, and both decisions."""
    named: dict[_Prefix, _Flips] = {}
    for number, entries in enumerate(ordered):
        for entry in entries:
            named.setdefault(_prefix(entry), _Flips(entry.network)).flips.append((number, entry.matches))
    active = _Active(len(ordered))
    path: list[tuple[_Prefix, int, K | None]] = []
    for prefix, here in sorted(named.items()):
        width = here.network.max_prefixlen
        while path and not _within(prefix, path[-1][0], width):
            active.undo(path.pop()[1])
        around = path[-1][2] if path else rest
        before = active.flip(here.flips)
        first = active.first()
        key = rest if first is None else keys[first]
        path.append((prefix, before, key))
        if key != around:
            yield here.network, key, around


_Prefix = tuple[int, int]
"""A network as its first address and its length."""


def _prefix(entry: Entry) -> _Prefix:
    return (int(entry.network.network_address), entry.network.prefixlen)


@dataclass(slots=True)
class _Flips:
    """A prefix that decisions name, and which of them begin or cease to be about addresses within it."""

    network: Network
    flips: list[tuple[int, bool]] = field(default_factory=list)


class _Active:
    """The decisions that are about an address, of which the first can be told; changes are undone in turn."""

    def __init__(self, count: int) -> None:
        self._on = [False] * count
        self._heap: list[int] = []
        self._done: list[tuple[int, bool]] = []

    def flip(self, flips: Iterable[tuple[int, bool]]) -> int:
        """Make changes, and return what takes them back."""
        before = len(self._done)
        for number, on in flips:
            if self._on[number] != on:
                self._done.append((number, self._on[number]))
                self._set(number, on=on)
        return before

    def undo(self, before: int) -> None:
        """Take changes back."""
        while len(self._done) > before:
            number, on = self._done.pop()
            self._set(number, on=on)

    def first(self) -> int | None:
        """Return the first decision, None where there is none."""
        while self._heap and not self._on[self._heap[0]]:
            heappop(self._heap)
        return self._heap[0] if self._heap else None

    def _set(self, number: int, *, on: bool) -> None:
        self._on[number] = on
        if on:
            heappush(self._heap, number)


def _within(inner: _Prefix, outer: _Prefix, width: int) -> bool:
    shift = width - outer[1]
    return inner[1] >= outer[1] and inner[0] >> shift == outer[0] >> shift


class Named:
    """What many numbered sets name, by prefix, so that those about some addresses are found without asking all."""

    def __init__(self, numbered: Sequence[tuple[int, Entries]]) -> None:
        self._at: dict[_Prefix, list[tuple[int, Entry]]] = {}
        for number, entries in numbered:
            for entry in entries:
                self._at.setdefault(_prefix(entry), []).append((number, entry))
        self._sorted = sorted(self._at)
        self._lengths = sorted({length for _, length in self._at})

    def about(self, entries: Entries, before: int) -> list[Entries]:
        """Return of each set with a number before one what it says of some addresses, in the order of numbers."""
        found: dict[int, dict[_Prefix, Entry]] = {}
        for entry in entries:
            for prefix in self._around_and_within(_prefix(entry), entry.network.max_prefixlen):
                for number, each in self._at[prefix]:
                    if number < before:
                        found.setdefault(number, {})[prefix] = each
        return [tuple(found[number].values()) for number in sorted(found)]

    def _around_and_within(self, prefix: _Prefix, width: int) -> Iterator[_Prefix]:
        value, own = prefix
        for length in self._lengths:
            if length < own:
                shift = width - length
                around = (value >> shift << shift, length)
                if around in self._at:
                    yield around
        begin = bisect_left(self._sorted, prefix)
        end = bisect_left(self._sorted, (value + (1 << (width - own)), 0))
        yield from self._sorted[begin:end]
