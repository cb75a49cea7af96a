"""Sets in which the first match is resolved, for terms that stand beside each other; kept up as they come and go.

Each member has a comment that names the rule that decides on its addresses, and counts their packets for it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from engine.compiler.optimised.first_match import FirstMatch, FirstMatchIndex
from engine.compiler.optimised.terms import WIDTHS, ChainPlace, Term, edit, holdings
from engine.compiler.rule_parts import EXCEPTED, element_of, set_with
from engine.rulesets.model import IpSet, Member
from engine.rulesets.ownership import digest


class MergedSets:
    """For each different decision of some terms the set of addresses on which it is the first."""

    def __init__(self, place: ChainPlace, name: str) -> None:
        self._place = place
        self._name = name
        self._terms: Sequence[Term] = ()
        self._firsts = FirstMatchIndex[Term](WIDTHS[place.family])
        self._sets: dict[str, IpSet] = {}

    def change(self, terms: Sequence[Term]) -> Mapping[str, IpSet]:
        """Return by their marks the sets of other terms, none of which is about every address.

        Those who stay keep their order. A set in which nothing changes is the same object.
        """
        changed, self._terms = edit(self._terms, terms), terms
        before, after = self._firsts.change(holdings(changed.gone), holdings(changed.new))
        out, into = _members(before.values()), _members(after.values())
        for mark in {*out, *into}:
            self._edit(mark, out.get(mark, set()), into.get(mark, set()))
        return self._sets

    def _edit(self, mark: str, out: set[Member], into: set[Member]) -> None:
        """Take members out of the set of a decision and put others in."""
        if out == into:
            return
        old = self._sets.pop(mark).members if mark in self._sets else ()
        # Sorting is quick where nearly everything is in order.
        members = sorted([*(member for member in old if member not in out), *into])
        if members:
            name = digest(self._place.base, self._name, mark)
            self._sets[mark] = set_with(self._place.family, name, tuple(members), told=True)


def _members(firsts: Iterable[FirstMatch[Term]]) -> dict[str, set[Member]]:
    """Return the members that sets have by first matches, by their marks."""
    found: dict[str, set[Member]] = {}
    for first in firsts:
        for mark, member in _of(first):
            found.setdefault(mark, set()).add(member)
    return found


def _of(first: FirstMatch[Term]) -> Iterator[tuple[str, Member]]:
    """Yield the members that a prefix has in sets, by their marks; each names the rule that decides, if one does."""
    here, around = first.here, first.around
    alike = here is not None and around is not None and here.mark == around.mark
    if here is not None and not (alike and around is not None and here.told == around.told):
        yield here.mark, (element_of(first.network), "comment", here.told)
    if around is not None and not alike:
        yield around.mark, (element_of(first.network), *EXCEPTED)
