"""Subtraction step of the optimised layout: lets rules for any protocol come after all rules for one protocol.

The layout looks up rules by protocol and port first, so rules for any protocol have to come last. To keep the
meaning, this module removes from each rule for one protocol the addresses that earlier rules for any protocol already
decide.

Input: the rules as `Term` values in order, those for any protocol (broad) and those for one protocol (narrow).
Output: the narrow terms that packets can still reach, each with its remaining addresses. A change of one term
recomputes only what depends on it. Raises `LayoutLimitExceeded` if the result has too many addresses or takes too
long.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from engine.compiler.optimised.builder import LayoutLimitExceeded
from engine.compiler.optimised.first_match import remaining_addresses
from engine.compiler.optimised.prefix_index import PrefixEntries, PrefixIndex
from engine.compiler.optimised.terms import WIDTHS, ChainPlace, Term, diff_sequences, terms_with_addresses
from engine.compiler.rule_parts import address_set
from engine.rulesets.model import IpSet
from engine.rulesets.ownership import digest


class SubtractedTerms:
    """Narrow terms with the addresses that no earlier broad term decides."""

    def __init__(self, place: ChainPlace) -> None:
        self._place = place
        self._width = WIDTHS[place.family]
        self._broad: Sequence[Term] = ()
        self._before = PrefixIndex[Term](self._width)
        self._among: Sequence[Term] = ()
        self._narrow = PrefixIndex[Term](self._width)
        self.size = 0
        """Number of members in the sets of remaining addresses."""
        self._known: dict[Term, Term | None] = {}
        self._everybody: dict[int, Term | None] = {}
        """Number of earlier broad terms -> what remains of a term that applies to every address."""

    def change(self, broad: Sequence[Term], narrow: Sequence[Term], limit: int, late: Callable[[], bool]) -> list[Term]:
        """Return the reachable narrow terms, each with its remaining addresses; terms that stay keep their order.

        Args:
            broad: the any-protocol terms, in order.
            narrow: the single-protocol terms, in order.
            limit: the maximum number of set entries.
            late: returns True once the time limit has passed.

        Raises:
            LayoutLimitExceeded: the remaining addresses exceed ``limit`` entries, or the time is over.
        """
        changed, self._broad = diff_sequences(self._broad, broad), broad
        gone, new = terms_with_addresses(changed.gone), terms_with_addresses(changed.new)
        self._before.change(gone, new)
        among, self._among = diff_sequences(self._among, narrow), narrow
        self._narrow.change(terms_with_addresses(among.gone), terms_with_addresses(among.new))
        for term in among.gone:
            del self._known[term]
        if changed.gone or changed.new:
            self._everybody = {}
            concerned = {term for _, own in (*gone, *new) for term in self._narrow.about(own)}
            concerned |= {term for term in narrow if term.addresses is None}
            self._known = {term: left for term, left in self._known.items() if term not in concerned}
        self._known = dict(self._left(narrow, limit, late))
        return [left for left in self._known.values() if left is not None]

    def _left(self, narrow: Sequence[Term], limit: int, late: Callable[[], bool]) -> Iterator[tuple[Term, Term | None]]:
        """Yield each narrow term with its remainder, None if no packet reaches it."""
        numbers = [term.number for term in self._broad]
        sizes: dict[str, int] = {}
        self.size = 0
        for term in narrow:
            left = self._known.get(term)
            if term not in self._known:
                if late():
                    raise LayoutLimitExceeded("working it out would take too long")
                place = bisect_left(numbers, term.number)
                if term.addresses is None:
                    if place not in self._everybody:
                        self._everybody[place] = self._of(term, place)
                    left = _like(self._everybody[place], term)
                else:
                    left = self._of(term, place)
            if left is not None and left is not term and left.found is not None:
                left.number = term.number
                self.size += len(left.found.members) - sizes.get(left.found.name, 0)
                sizes[left.found.name] = len(left.found.members)
            if self.size > limit:
                raise LayoutLimitExceeded("rules about every protocol stand between too many others")
            yield term, left

    def _of(self, term: Term, place: int) -> Term | None:
        """Return the remainder of a term after the first ``place`` broad terms."""
        mine = term.reach(self._place.family)
        before = self._before.about(mine, term.number)
        left = remaining_addresses(term, mine, before.items(), self._width) if before else mine
        if left == mine:
            return term
        return replace(term, addresses=left, found=self._set_of(term, place, left)) if left else None

    def _set_of(self, term: Term, place: int, left: PrefixEntries) -> IpSet:
        """Return the set of remaining addresses; its name stays the same when other terms cause the remainder."""
        following = self._broad[place].named if place < len(self._broad) else ""
        whose = term.found.name if term.found is not None else following
        return address_set(self._place.family, digest(self._place.base, "left", whose), left)


def _like(other: Term | None, term: Term) -> Term | None:
    """Return a term with the remaining addresses of another; both applied to every address before."""
    if other is None or other.addresses is None:
        return term if other is not None else None
    return replace(term, addresses=other.addresses, found=other.found)
