"""Finds the rules that a change of a chain can leave in place: a longest common subsequence of canonical rules.

Input: the rules of the chain before and after. Output: pairs of indices (before, after) of the rules in common.

Source: Hunt and Szymanski, Communications of the ACM 20, 1977.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from engine.rulesets.canonical import canonical_rule
from engine.rulesets.model import Family, Rule


def kept_rules(old: Sequence[Rule], new: Sequence[Rule], family: Family) -> list[tuple[int, int]]:
    """Return the pairs of places of rules that stay.

    Rules that stand in both chains are their own key. Only of others the canonical form is needed, and only where both
    chains have some.
    """
    keys: dict[Rule, int] = {}
    old_keys, new_keys = ([keys.setdefault(rule, len(keys)) for rule in rules] for rules in (old, new))
    old_only, new_only = set(old_keys).difference(new_keys), set(new_keys).difference(old_keys)
    if old_only and new_only:
        alone = old_only | new_only
        same = {key: canonical_rule(rule, family) for rule, key in keys.items() if key in alone}
        meant = {key: keys.setdefault(rule, len(keys)) for key, rule in same.items()}
        old_keys = [meant.get(key, key) for key in old_keys]
        new_keys = [meant.get(key, key) for key in new_keys]
    return kept_pairs(old_keys, new_keys)


def kept_pairs(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Return the indices (in ``old``, in ``new``) of a longest common subsequence, ascending.

    Hunt and Szymanski's way (Communications of the ACM 20, 1977): quick where rules hardly repeat, as ours do not.
    """
    places: dict[Hashable, list[int]] = defaultdict(list)
    for index in range(len(new) - 1, -1, -1):
        places[new[index]].append(index)
    ends: list[int] = []  # for each length, the smallest index in ``new`` at which a subsequence of it ends
    links: list[_Link] = []
    for old_index, rule in enumerate(old):
        for new_index in places.get(rule, ()):
            length = bisect_left(ends, new_index)
            link = _Link(old_index, new_index, links[length - 1] if length else None)
            if length == len(ends):
                ends.append(new_index)
                links.append(link)
            else:
                ends[length] = new_index
                links[length] = link
    return _chain_of(links[-1] if links else None)


@dataclass(frozen=True, slots=True)
class _Link:
    """A pair of equal rules and the pair before it in the subsequence."""

    old: int
    new: int
    before: "_Link | None"


def _chain_of(link: _Link | None) -> list[tuple[int, int]]:
    pairs = []
    while link is not None:
        pairs.append((link.old, link.new))
        link = link.before
    return pairs[::-1]
