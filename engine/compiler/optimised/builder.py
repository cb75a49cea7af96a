"""What is laid out so far of the optimised layout, and how large it may be."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from engine.compiler.optimised.set_merging import MergedSets
from engine.compiler.optimised.terms import ChainPlace
from engine.compiler.traffic import Matches
from engine.rulesets.model import Chain, IpSet, Match, Rule, Target


class LayoutLimitExceeded(Exception):
    """The rules cannot be laid out so within bounds, for a reason in words."""


def never() -> bool:
    """Say that there is time."""
    return False


@dataclass(frozen=True, slots=True)
class LayoutLimits:
    """What the outcome may cost, in room and in time."""

    times: int = 8
    """How often there may be what members and rules the linear layout has, and ``more``."""
    more: int = 50_000
    late: Callable[[], bool] = never
    """Whether the time is over that working it out may take."""
    few: int = 8
    """So many terms are looked up one by one, each in the set of its rule. A look-up costs a packet some 100 ns, as
    measured (``make bench-matches``); sets of their own would change by all members of a rule that decides anew."""


DEFAULT_BOUNDS = LayoutLimits()


@dataclass(slots=True, eq=False)
class LayoutBuilder:
    """What is laid out so far: of everything, or of a part that can be taken over as it is."""

    place: ChainPlace
    limit: int
    bounds: LayoutLimits
    chains: dict[str, Chain] = field(default_factory=dict)
    sets: dict[str, IpSet] = field(default_factory=dict)
    merged: dict[str, MergedSets] = field(default_factory=dict)
    size: int = 0
    """Rules of chains, and members of sets that nothing else has."""

    def chain(self, name: str, rules: Iterable[Rule]) -> Target:
        """Have a chain, and return the target that leads there."""
        self.chains[name] = Chain(name, tuple(rules))
        self.grow(len(self.chains[name].rules))
        return Target(name, goto=True)

    def look_up(self, made: IpSet) -> Matches:
        """Have a set, and return the match on it."""
        self.sets.setdefault(made.name, made)
        return (Match("set", "match-set", (made.name, self.place.side)),)

    def take(self, part: "LayoutBuilder") -> None:
        """Have all that a part has."""
        self.chains |= part.chains
        self.sets |= part.sets
        self.merged |= part.merged
        self.grow(part.size)

    def grow(self, by: int) -> None:
        """Be larger by so many rules and members, if that is not too many."""
        self.size += by
        self._see_to(self.size)

    def see_to_bounds(self) -> None:
        """Raise ``LayoutLimitExceeded`` where it is too large with all sets, which parts may share."""
        rules = sum(len(chain.rules) for chain in self.chains.values())
        self._see_to(rules + sum(len(made.members) for made in self.sets.values()))

    def _see_to(self, size: int) -> None:
        if size > self.limit:
            raise LayoutLimitExceeded(f"it would take more than {self.limit:,} rules and members")
        if self.bounds.late():
            raise LayoutLimitExceeded("working it out would take too long")
