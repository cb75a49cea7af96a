"""Questions about a state whose answers are kept until something that they depend on changes.

A query says how it is answered and which changes touch it; what it asks on the way is recorded, so a change reaches
just those who asked, and stops where an answer stays the same. It knows nothing of what is asked: see
:mod:`engine.peers` and :mod:`engine.resolve`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Protocol, TypeVar, cast

from immutables import Map

from engine.objects import ClusterObject
from engine.state import ClusterState

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Change:
    """What one event changed: an object of ``kind`` at ``key``, absent where None; or what is known of a host."""

    kind: str
    key: str
    before: ClusterObject | None = None
    after: ClusterObject | None = None


class Query(Protocol[T_co]):
    """A question; equal ones have the same answer. It may ask only questions of lesser ``depth``."""

    depth: ClassVar[int]

    def answer(self, answers: "Answers") -> T_co:
        """Return the answer for the state of ``answers``."""
        ...

    def touched(self, change: Change, state: ClusterState) -> bool:
        """Return whether the change may touch the answer by itself, not by way of another query's."""
        ...

    def __hash__(self) -> int:
        """Return the hash by which it is found again."""
        ...


DEPTHS = range(3)


@dataclass(frozen=True, slots=True)
class _Known:
    """An answer, and the queries that were asked for it."""

    value: object
    asked: frozenset[Query[object]]


class Answers:
    """The answers known for a state; asking for one more works it out."""

    def __init__(
        self,
        state: ClusterState,
        known: Map[Query[object], _Known] = Map(),
        change: Change | None = None,
        before: Map[Query[object], _Known] = Map(),
    ) -> None:
        self.state = state
        self.change = change
        """What led to the state, where the answers of before it are known."""
        self._known = known
        self._before = before
        self._asking: list[set[Query[object]]] = []

    def before(self, query: Query[T_co]) -> T_co | None:
        """Return the answer of before the change, None where it is not known."""
        known = self._before.get(query)
        return cast("T_co", known.value) if known is not None else None

    def ask(self, query: Query[T_co]) -> T_co:
        """Return the answer to a query."""
        if self._asking:
            self._asking[-1].add(query)
        known = self._known.get(query)
        if known is None:
            self._asking.append(set())
            value: object = query.answer(self)
            known = _Known(value, frozenset(self._asking.pop()))
            self._known = self._known.set(query, known)
        return cast("T_co", known.value)

    def after(self, change: Change, state: ClusterState) -> tuple["Answers", dict[Query[object], bool]]:
        """Return the answers for the state after a change, and for each query asked again whether its answer is new."""
        later = Answers(state, self._known, change, self._known)
        again: dict[Query[object], bool] = {}
        changed: set[Query[object]] = set()
        by_depth: list[list[tuple[Query[object], _Known]]] = [[] for _ in DEPTHS]
        for item in self._known.items():
            by_depth[item[0].depth].append(item)
        for query, known in chain.from_iterable(by_depth):
            if query.touched(change, state) or not changed.isdisjoint(known.asked):
                later._known = later._known.delete(query)
                again[query] = later.ask(query) != known.value
                changed |= {query} if again[query] else set()
        return later, again

    def asks_alike(self, queries: Iterable[Query[object]]) -> bool:
        """Return whether for the answers to these the same was asked before the change."""
        return all(query in self._before and self._before[query].asked == self._known[query].asked for query in queries)

    def only(self, roots: Iterable[Query[object]]) -> "Answers":
        """Return the answers to the roots and to all that was asked for them, without those nobody needs."""
        kept: dict[Query[object], _Known] = {}
        waiting = list(roots)
        while waiting:
            query = waiting.pop()
            if query not in kept and query in self._known:
                kept[query] = self._known[query]
                waiting += kept[query].asked
        return Answers(self.state, Map(kept))

    def __contains__(self, query: Query[object]) -> bool:
        """Return whether the answer is known already."""
        return query in self._known
