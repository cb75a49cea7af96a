"""Index of address sets by prefix: finds the sets with entries that contain, equal or lie inside a given prefix.

Input: decisions (what a rule does with a packet) with the `PrefixEntry` values of their address sets, all of one
family. Output: prefixes, or `NamedPrefix` values (a prefix, and the decisions whose sets have it), wider prefixes
first. :mod:`engine.compiler.optimised.first_match` and :mod:`engine.compiler.optimised.subtraction` use the index.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from engine.ip_types import Network
from engine.policy.prefix_sets import Prefix, PrefixEntry, enclosing_prefixes, prefix_of

PrefixEntries = tuple[PrefixEntry, ...]
"""A longest-prefix set; None in its place means every address."""

_RESORT_FROM = 256
"""From this many changed prefixes on, the whole list is sorted again."""


class OrderedDecision(Protocol):
    """A decision with a unique number; lower numbers come first."""

    number: int


D = TypeVar("D", bound=OrderedDecision)

DecisionEntries = tuple[D, PrefixEntries]
"""A decision and the addresses that it applies to."""


@dataclass(slots=True)
class NamedPrefix(Generic[D]):
    """A prefix that some set names, and by decision whether it matches there (False is an exception)."""

    network: Network
    decisions: dict[D, bool] = field(default_factory=dict)


class PrefixIndex(Generic[D]):
    """Address sets of one family, ``width`` bits wide, indexed by the prefixes that they name."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._at: dict[Prefix, NamedPrefix[D]] = {}
        self._sorted: list[Prefix] = []
        self._lengths = Counter[int]()

    def __len__(self) -> int:
        """Return the number of named prefixes."""
        return len(self._sorted)

    def change(self, gone: Iterable[DecisionEntries[D]], new: Iterable[DecisionEntries[D]]) -> None:
        """Remove and add address sets."""
        out, into = list[Prefix](), list[Prefix]()
        for who, entries in gone:
            for entry in entries:
                prefix = prefix_of(entry.network)
                sayings = self._at[prefix].decisions
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
                self._at[prefix].decisions[who] = entry.matches
        if len(out) + len(into) > _RESORT_FROM:
            self._sorted = sorted(self._at)
            return
        for prefix in out:
            del self._sorted[bisect_left(self._sorted, prefix)]
        for prefix in into:
            insort(self._sorted, prefix)

    def around(self, prefix: Prefix) -> Iterator[NamedPrefix[D]]:
        """Yield the named prefixes that contain a prefix and are wider, the widest first."""
        lengths = sorted(length for length, count in self._lengths.items() if count and length < prefix[1])
        for wider in enclosing_prefixes(prefix, lengths, self.width):
            if (found := self._at.get(wider)) is not None:
                yield found

    def within(self, prefix: Prefix) -> list[Prefix]:
        """Return the named prefixes equal to or inside a prefix, wider ones first."""
        value, own = prefix
        begin = bisect_left(self._sorted, prefix)
        end = bisect_left(self._sorted, (value + (1 << (self.width - own)), 0), begin)
        return self._sorted[begin:end]

    def at(self, prefix: Prefix) -> NamedPrefix[D]:
        """Return the named prefix; it must be in the index."""
        return self._at[prefix]

    def about(self, entries: PrefixEntries, before: int | None = None) -> dict[D, PrefixEntries]:
        """Return per decision, in order, its entries that overlap some addresses.

        Args:
            entries: the addresses.
            before: if given, only decisions with a lower number are returned.
        """
        found: dict[D, dict[Prefix, PrefixEntry]] = {}
        for entry in entries:
            prefix = prefix_of(entry.network)
            for named in (*self.around(prefix), *map(self.at, self.within(prefix))):
                for who, matches in named.decisions.items():
                    if before is None or who.number < before:
                        found.setdefault(who, {})[prefix_of(named.network)] = PrefixEntry(named.network, matches)
        return {who: tuple(found[who].values()) for who in sorted(found, key=lambda who: who.number)}
