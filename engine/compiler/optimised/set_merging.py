"""Merges the address sets of consecutive rules into disjoint sets: one set lookup per decision, not one per rule.

Input: `Term` values (compiled rules) in evaluation order. Output: one `IpSet` per distinct decision, by a digest of the
decision (``mark``). An address belongs to the set of the first term that applies to it. A member counts its packets and
names the deciding rule in its comment; exceptions (``nomatch``) have no comment. A change of some terms recomputes only
the members that it affects.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from engine.compiler.optimised.first_match import FirstMatch, FirstMatchIndex
from engine.compiler.optimised.terms import WIDTHS, ChainPlace, Term, diff_sequences, terms_with_addresses
from engine.compiler.rule_parts import NOMATCH, element_of, make_set
from engine.rulesets.model import IpSet, Member
from engine.rulesets.ownership import digest


class MergedSets:
    """Per distinct decision of some terms, the set of addresses on which it is the first."""

    def __init__(self, place: ChainPlace, name: str) -> None:
        self._place = place
        self._name = name
        self._terms: Sequence[Term] = ()
        self._firsts = FirstMatchIndex[Term](WIDTHS[place.family])
        self._sets: dict[str, IpSet] = {}

    def change(self, terms: Sequence[Term]) -> Mapping[str, IpSet]:
        """Replace the terms and return the sets by decision mark; no term may apply to every address.

        Terms that stay keep their order. A set that does not change stays the same object.
        """
        changed, self._terms = diff_sequences(self._terms, terms), terms
        before, after = self._firsts.change(terms_with_addresses(changed.gone), terms_with_addresses(changed.new))
        out, into = _members(before.values()), _members(after.values())
        for mark in {*out, *into}:
            self._edit(mark, out.get(mark, set()), into.get(mark, set()))
        return self._sets

    def _edit(self, mark: str, out: set[Member], into: set[Member]) -> None:
        """Remove and add members of the set of one decision."""
        if out == into:
            return
        old = self._sets.pop(mark).members if mark in self._sets else ()
        # Sorting a nearly sorted list is fast (Timsort).
        members = sorted([*(member for member in old if member not in out), *into])
        if members:
            name = digest(self._place.base, self._name, mark)
            self._sets[mark] = make_set(self._place.family, name, tuple(members), told=True)


def _members(firsts: Iterable[FirstMatch[Term]]) -> dict[str, set[Member]]:
    """Return the set members that first matches require, by decision mark."""
    found: dict[str, set[Member]] = {}
    for first in firsts:
        for mark, member in _of(first):
            found.setdefault(mark, set()).add(member)
    return found


def _of(first: FirstMatch[Term]) -> Iterator[tuple[str, Member]]:
    """Yield the set members that a prefix requires, by decision mark; the comment names the deciding rule, if any."""
    here, around = first.here, first.around
    alike = here is not None and around is not None and here.mark == around.mark
    if here is not None and not (alike and around is not None and here.told == around.told):
        yield here.mark, (element_of(first.network), "comment", here.told)
    if around is not None and not alike:
        yield around.mark, (element_of(first.network), *NOMATCH)
