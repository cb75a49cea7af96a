"""What many sets of addresses say, kept by prefix, so that who says something of some addresses is found at once."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from engine.policy.prefix_sets import Network, Prefix, PrefixEntry, around, prefix_of

PrefixEntries = tuple[PrefixEntry, ...]
"""A longest-prefix set; None in place of one is every address."""

_MANY = 256
"""From so many prefixes on that come or go, all are sorted anew."""


class OrderedDecision(Protocol):
    """Who decides, in the order of numbers; no two are equal."""

    number: int


D = TypeVar("D", bound=OrderedDecision)

DecisionEntries = tuple[D, PrefixEntries]
"""Who decides, and on which addresses."""


@dataclass(slots=True)
class NamedPrefix(Generic[D]):
    """A prefix that somebody's set names, and who says that what is in it matches or does not."""

    network: Network
    sayings: dict[D, bool] = field(default_factory=dict)


class PrefixIndex(Generic[D]):
    """Sets of addresses of one family, ``width`` bits wide, by what they name."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._at: dict[Prefix, NamedPrefix[D]] = {}
        self._sorted: list[Prefix] = []
        self._lengths = Counter[int]()

    def __len__(self) -> int:
        """Return how many prefixes are named."""
        return len(self._sorted)

    def change(self, gone: Iterable[DecisionEntries[D]], new: Iterable[DecisionEntries[D]]) -> None:
        """Take sets out and put others in."""
        out, into = list[Prefix](), list[Prefix]()
        for who, entries in gone:
            for entry in entries:
                prefix = prefix_of(entry.network)
                sayings = self._at[prefix].sayings
                del sayings[who]
                if not sayings:
                    del self._at[prefix]
                    self._lengths[prefix[1]] -= 1
                    out.append(prefix)
        for who, entries in new:
            for entry in entries:
                prefix = prefix_of(entry.network)
                if prefix not in self._at:
                    self._at[prefix] = NamedPrefix(entry.network)
                    self._lengths[prefix[1]] += 1
                    into.append(prefix)
                self._at[prefix].sayings[who] = entry.matches
        if len(out) + len(into) > _MANY:
            self._sorted = sorted(self._at)
            return
        for prefix in out:
            del self._sorted[bisect_left(self._sorted, prefix)]
        for prefix in into:
            insort(self._sorted, prefix)

    def around(self, prefix: Prefix) -> Iterator[NamedPrefix[D]]:
        """Yield what contains a prefix and is wider, the widest first."""
        lengths = sorted(length for length, count in self._lengths.items() if count and length < prefix[1])
        for wider in around(prefix, lengths, self.width):
            if (found := self._at.get(wider)) is not None:
                yield found

    def within(self, prefix: Prefix) -> list[Prefix]:
        """Return what is named of a prefix and in it, a wider one before those in it."""
        value, own = prefix
        begin = bisect_left(self._sorted, prefix)
        end = bisect_left(self._sorted, (value + (1 << (self.width - own)), 0), begin)
        return self._sorted[begin:end]

    def at(self, prefix: Prefix) -> NamedPrefix[D]:
        """Return what is said of a prefix that is named."""
        return self._at[prefix]

    def about(self, entries: PrefixEntries, before: int | None = None) -> dict[D, PrefixEntries]:
        """Return of each set (with a number before one) what it says of some addresses, in the order of numbers."""
        found: dict[D, dict[Prefix, PrefixEntry]] = {}
        for entry in entries:
            prefix = prefix_of(entry.network)
            for named in (*self.around(prefix), *map(self.at, self.within(prefix))):
                for who, matches in named.sayings.items():
                    if before is None or who.number < before:
                        found.setdefault(who, {})[prefix_of(named.network)] = PrefixEntry(named.network, matches)
        return {who: tuple(found[who].values()) for who in sorted(found, key=lambda who: who.number)}
