"""Minimum set cover of packet sets: the fewest candidates that together contain a given set.

Lint uses it to report the fewest rules that shadow another rule. Input: the given set, and the sets of the candidates.
Output: indexes of the chosen candidates.

The search is exact up to `MOST_TRIALS` choices. Beyond that, no chosen candidate can be left out, but a smaller cover
may exist.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

from simulator.symbolic import BddFunction, is_false

CoverSets = tuple[BddFunction, ...]
"""Packet sets, one per hook visit; each must be covered separately."""

MOST_TRIALS = 2_000
"""Maximum number of choices tried before a cover that may not be the smallest is returned."""


def smallest(whole: CoverSets, candidates: Sequence[CoverSets]) -> list[int]:
    """Return the indexes of the fewest candidates that cover ``whole`` part by part; ties go to the first.

    No returned candidate can be left out, even if the search was cut short.
    """
    useful = [place for place, each in enumerate(candidates) if _has_packets(_intersection(whole, each))]
    alone = next((place for place in useful if not _has_packets(_difference(whole, candidates[place]))), None)
    if alone is not None:
        return [alone]
    needed = [
        place for place in useful if _has_packets(_difference(whole, _union(candidates, set(useful) - {place}, whole)))
    ]
    left = reduce(_difference, (candidates[place] for place in needed), whole)
    rest = [place for place in useful if place not in needed]
    return sorted([*needed, *_fewest(left, {place: candidates[place] for place in rest})])


def _fewest(whole: CoverSets, candidates: dict[int, CoverSets]) -> list[int]:
    if not _has_packets(whole):
        return []
    best = _greedy(whole, candidates)
    search = _Search(candidates)
    for size in range(1, len(best)):
        found = search.of(whole, list(candidates), size)
        if found is not None:
            return found
        if search.trials > MOST_TRIALS:
            break
    return best


@dataclass(slots=True)
class _Search:
    """Search for a cover of a given size, with a limit on trials."""

    candidates: dict[int, CoverSets]
    trials: int = field(default=0)

    def of(self, whole: CoverSets, places: Sequence[int], size: int) -> list[int] | None:
        """Return a cover of at most ``size`` candidates; None if there is none or the limit was reached."""
        if not _has_packets(whole):
            return []
        self.trials += 1
        if not size or self.trials > MOST_TRIALS:
            return None
        for at, place in enumerate(places):
            left = _difference(whole, self.candidates[place])
            if left != whole:
                found = self.of(left, places[at + 1 :], size - 1)
                if found is not None:
                    return [place, *found]
        return None


def _greedy(whole: CoverSets, candidates: dict[int, CoverSets]) -> list[int]:
    """Return a cover from which no candidate can be left out."""
    chosen: list[int] = []
    left = whole
    for place, each in candidates.items():
        if _has_packets(_intersection(left, each)):
            chosen.append(place)
            left = _difference(left, each)
    for place in reversed(list(chosen)):
        others = [other for other in chosen if other != place]
        if not _has_packets(reduce(_difference, (candidates[other] for other in others), whole)):
            chosen = others
    return chosen


def _union(candidates: Sequence[CoverSets], places: set[int], like: CoverSets) -> CoverSets:
    found = tuple(each & ~each for each in like)
    for place in sorted(places):
        found = tuple(mine | other for mine, other in zip(found, candidates[place], strict=True))
    return found


def _intersection(left: CoverSets, right: CoverSets) -> CoverSets:
    return tuple(mine & other for mine, other in zip(left, right, strict=True))


def _difference(left: CoverSets, right: CoverSets) -> CoverSets:
    return tuple(mine & ~other for mine, other in zip(left, right, strict=True))


def _has_packets(parts: CoverSets) -> bool:
    return not all(is_false(each) for each in parts)
