"""Questions about a state whose answers are kept until something that they depend on changes.

A query says how it is answered and which changes touch it; what it asks on the way is recorded, so a change reaches
just those who asked, and stops where an answer stays the same. It knows nothing of what is asked: see
:mod:`engine.policy.peers` and :mod:`engine.policy.resolve`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Protocol, TypeVar, cast

from immutables import Map

from engine.events import StateChange
from engine.objects import KINDS, ClusterObject
from engine.state.fold import ClusterState

T_co = TypeVar("T_co", covariant=True)

Topic = tuple[str, str]
"""What a change is about, or a query listens to: a kind, and what marks one of its objects, nothing for any of them."""


def marked_by_key(kind: str, key: str) -> Topic:
    """Return the topic of the object at a key."""
    return kind, f"/{key}"


def marked_by_label(kind: str, key: str, value: str) -> Topic:
    """Return the topic of all objects that bear a label."""
    return kind, f"{key}={value}"


def topics_of(change: StateChange) -> Iterator[Topic]:
    """Yield everything that a change is about, before it and after it."""
    yield change.kind, ""
    yield marked_by_key(change.kind, change.key)
    ends = (change.before, change.after) if change.kind in KINDS else ()
    for item in cast("tuple[ClusterObject | None, ...]", ends):
        for key, value in item.metadata.labels.items() if item is not None else ():
            yield marked_by_label(change.kind, key, value)


class Query(Protocol[T_co]):
    """A question; equal ones have the same answer. It may ask only questions of lesser ``depth``."""

    depth: ClassVar[int]

    @property
    def topics(self) -> tuple[Topic, ...]:
        """What a change that touches the answer by itself is about."""
        ...

    def answer(self, answers: "QueryCache") -> T_co:
        """Return the answer for the state of ``answers``."""
        ...

    def touched(self, change: StateChange, state: ClusterState) -> bool:
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


@dataclass(frozen=True, slots=True)
class _Index:
    """Which queries listen to what, and who asked each."""

    listeners: Mapping[Topic, Sequence[Query[object]]]
    askers: Mapping[Query[object], Sequence[Query[object]]]

    @classmethod
    def of(cls, known: Map[Query[object], _Known]) -> "_Index":
        listeners: dict[Topic, list[Query[object]]] = {}
        askers: dict[Query[object], list[Query[object]]] = {}
        for query, found in known.items():
            for topic in query.topics:
                listeners.setdefault(topic, []).append(query)
            for asked in found.asked:
                askers.setdefault(asked, []).append(query)
        return cls(listeners, askers)


class QueryCache:
    """The answers known for a state; asking for one more works it out."""

    def __init__(
        self,
        state: ClusterState,
        known: Map[Query[object], _Known] = Map(),
        change: StateChange | None = None,
        before: Map[Query[object], _Known] = Map(),
    ) -> None:
        self.state = state
        self.change = change
        """What led to the state, where the answers of before it are known."""
        self._known = known
        self._before = before
        self._asking: list[set[Query[object]]] = []
        self._index: _Index | None = None

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
            self._index = None  # which `after` sets where nobody is new
        return cast("T_co", known.value)

    def after(self, change: StateChange, state: ClusterState) -> tuple["QueryCache", dict[Query[object], bool]]:
        """Return the answers for the state after a change, and for each query asked again whether its answer is new."""
        index = self._index or _Index.of(self._known)
        later = QueryCache(state, self._known, change, self._known)
        again: dict[Query[object], bool] = {}
        # Whoever asks a query is deeper than it, so what waits at one depth is complete once all before it is done.
        waiting: list[dict[Query[object], None]] = [{} for _ in DEPTHS]
        for topic in topics_of(change):
            for query in index.listeners.get(topic, ()):
                if query not in waiting[query.depth] and query.touched(change, state):
                    waiting[query.depth][query] = None
        for query in chain.from_iterable(waiting):
            before = self._known[query].value
            later._known = later._known.delete(query)
            again[query] = later.ask(query) != before
            for asker in index.askers.get(query, ()) if again[query] else ():
                waiting[asker.depth][asker] = None
        later._index = index if later.asks_alike(again) else None
        return later, again

    def asks_alike(self, queries: Iterable[Query[object]]) -> bool:
        """Return whether for the answers to these the same was asked before the change."""
        return all(query in self._before and self._before[query].asked == self._known[query].asked for query in queries)

    def only(self, roots: Iterable[Query[object]]) -> "QueryCache":
        """Return the answers to the roots and to all that was asked for them, without those nobody needs."""
        kept: dict[Query[object], _Known] = {}
        waiting = list(roots)
        while waiting:
            query = waiting.pop()
            if query not in kept and query in self._known:
                kept[query] = self._known[query]
                waiting += kept[query].asked
        return QueryCache(self.state, Map(kept))

    def __contains__(self, query: Query[object]) -> bool:
        """Return whether the answer is known already."""
        return query in self._known
