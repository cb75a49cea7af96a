"""Builds and caches the condition of a rule for the symbolic engine: the conjunction of the conditions of its matches.

Input: the matches of a rule, and the sets by name. Output: a `Formula`; rules with equal matches and sets get the same
object. If a match refers to a set that is not given, the formula treats the result of this match as unknown.

The condition of a single match is defined in `simulator.matches`.
"""

from collections.abc import Mapping, Sequence
from functools import partial

from engine.rulesets.model import Family, Match
from simulator.matches import OptionGroup, condition_of, groups
from simulator.matches.base import ConditionContext
from simulator.matches.formula import TRUE, And, Formula
from simulator.symbolic.set_conditions import ChangingSet, SymbolicSet, membership


class MatchConditions:
    """Reader of the matches of one family, with a cache that is valid while the sets are unchanged."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._groups: dict[tuple[OptionGroup, tuple[SymbolicSet, ...]], Formula] = {}
        self._rules: dict[tuple[tuple[Match, ...], tuple[SymbolicSet, ...]], Formula] = {}

    def condition(self, matches: tuple[Match, ...], sets: Mapping[str, SymbolicSet]) -> Formula:
        """Return the conjunction of a rule's matches.

        A match on a set that is not given is undetermined.
        """
        asked = _asked(matches, sets)
        if (matches, asked) not in self._rules:
            parts = [part for group in groups(matches) for part in (self._group(group, sets),) if part is not TRUE]
            self._rules[matches, asked] = parts[0] if len(parts) == 1 else And(tuple(parts)) if parts else TRUE
        return self._rules[matches, asked]

    def _group(self, group: OptionGroup, sets: Mapping[str, SymbolicSet]) -> Formula:
        asked = _asked(group, sets)
        if (group, asked) not in self._groups:
            context = ConditionContext(self.family, partial(self._membership, sets))
            self._groups[group, asked] = condition_of(group, context)
        return self._groups[group, asked]

    def _membership(self, sets: Mapping[str, SymbolicSet], name: str, sides: Sequence[bool], excepted: bool) -> Formula:  # noqa: FBT001 - the signature of `Membership`
        return membership(sets, name, sides, self.family, excepted=excepted)


def _asked(matches: tuple[Match, ...], sets: Mapping[str, SymbolicSet]) -> tuple[SymbolicSet, ...]:
    """Return the sets that matches look into, and the members of ``list:set`` sets among them."""
    found: list[SymbolicSet] = []
    for match in matches:
        known = sets.get(match.values[0]) if match.option == "match-set" else None
        if known is not None:
            found.append(known)
            for each in (known.before, known.after) if isinstance(known, ChangingSet) else (known,):
                found += [sets[name] for name in each.set_names if name in sets]
    return tuple(found)
