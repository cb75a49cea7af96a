"""Collects the chains and sets of the optimised layout, and stops if it gets too large or takes too long.

Input: chains and sets from :mod:`engine.compiler.optimised.layout`. Output: a `LayoutBuilder` that holds them.
`LayoutLimits` bounds the number of rules and set members, relative to the linear layout, and the time. Raises
`LayoutLimitExceeded`; the caller then uses the linear layout.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from engine.compiler.optimised.set_merging import MergedSets
from engine.compiler.optimised.terms import ChainPlace
from engine.compiler.traffic import Matches
from engine.rulesets.model import Chain, IpSet, Match, Rule, Target


class LayoutLimitExceeded(Exception):
    """The optimised layout exceeds a limit; the message says which."""


def no_deadline() -> bool:
    """Return False: no time limit."""
    return False


@dataclass(frozen=True, slots=True)
class LayoutLimits:
    """Limits on the size of the optimised layout and on the time to compute it."""

    times: int = 8
    """The layout may have ``times`` as many rules and members as the linear one, plus ``more``."""
    more: int = 50_000
    late: Callable[[], bool] = no_deadline
    """Returns True once the time limit has passed."""
    few: int = 8
    """Up to this many terms are looked up one by one, each in the set of its own rule.

    A lookup costs a packet about 100 ns, as measured (``make bench-matches``). Merged sets cost more on update: a
    change of the deciding rule changes all of its members.
    """


DEFAULT_LIMITS = LayoutLimits()


@dataclass(slots=True, eq=False)
class LayoutBuilder:
    """Collects the chains and sets of a layout, or of a part of a layout that can be reused unchanged."""

    place: ChainPlace
    limit: int
    bounds: LayoutLimits
    chains: dict[str, Chain] = field(default_factory=dict)
    sets: dict[str, IpSet] = field(default_factory=dict)
    merged: dict[str, MergedSets] = field(default_factory=dict)
    size: int = 0
    """Number of rules in chains plus members of sets that no other part has."""

    def chain(self, name: str, rules: Iterable[Rule]) -> Target:
        """Add a chain and return the target that leads to it."""
        self.chains[name] = Chain(name, tuple(rules))
        self.grow(len(self.chains[name].rules))
        return Target(name, goto=True)

    def look_up(self, made: IpSet) -> Matches:
        """Add a set and return the match on it."""
        self.sets.setdefault(made.name, made)
        return (Match("set", "match-set", (made.name, self.place.side)),)

    def take(self, part: "LayoutBuilder") -> None:
        """Add all chains and sets of a part."""
        self.chains |= part.chains
        self.sets |= part.sets
        self.merged |= part.merged
        self.grow(part.size)

    def grow(self, by: int) -> None:
        """Add to the size and check the limits.

        Raises:
            LayoutLimitExceeded: the layout is too large, or the time is over.
        """
        self.size += by
        self._see_to(self.size)

    def check_limits(self) -> None:
        """Check the exact size, counting each shared set once.

        Raises:
            LayoutLimitExceeded: the layout is too large, or the time is over.
        """
        rules = sum(len(chain.rules) for chain in self.chains.values())
        self._see_to(rules + sum(len(made.members) for made in self.sets.values()))

    def _see_to(self, size: int) -> None:
        if size > self.limit:
            raise LayoutLimitExceeded(f"it would take more than {self.limit:,} rules and members")
        if self.bounds.late():
            raise LayoutLimitExceeded("working it out would take too long")
