"""Incremental cache of queries about the cluster state: after a change, recomputes only the answers that it affects.

A `Query` is a question about the state, such as the addresses of a peer, and may ask other queries. `QueryCache` stores
the answers, and which query asked which. Its method `after` takes a `StateChange` and the new `ClusterState`, and
returns the updated cache. A query is recomputed if the change affects it directly, or if the answer of a query that it
asked has changed. :mod:`engine.policy.peers` and :mod:`engine.policy.resolve` define the queries.
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
"""Subject of a change or subscription of a query: a kind, and a mark of some of its objects ("" for all)."""


def key_topic(kind: str, key: str) -> Topic:
    """Return the topic of the object at a key."""
    return kind, f"/{key}"


def label_topic(kind: str, key: str, value: str) -> Topic:
    """Return the topic of all objects with a label."""
    return kind, f"{key}={value}"


def topics_of(change: StateChange) -> Iterator[Topic]:
    """Yield the topics of a change, both before and after it."""
    yield change.kind, ""
    yield key_topic(change.kind, change.key)
    ends = (change.before, change.after) if change.kind in KINDS else ()
    for item in cast("tuple[ClusterObject | None, ...]", ends):
        for key, value in item.metadata.labels.items() if item is not None else ():
            yield label_topic(change.kind, key, value)


class Query(Protocol[T_co]):
    """A question about a state; equal queries have equal answers. It may ask only queries of lower ``depth``."""

    depth: ClassVar[int]

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Topics of the changes that may affect the answer directly."""
        ...

    def answer(self, answers: "QueryCache") -> T_co:
        """Return the answer for the state of ``answers``."""
        ...

    def touched(self, change: StateChange, state: ClusterState) -> bool:
        """Return whether a change may affect the answer directly, not through another query."""
        ...

    def __hash__(self) -> int:
        """Return the hash for cache lookups."""
        ...


DEPTHS = range(3)


@dataclass(frozen=True, slots=True)
class _Known:
    """A cached answer and the queries that it asked."""

    value: object
    asked: frozenset[Query[object]]


@dataclass(frozen=True, slots=True)
class _Index:
    """Queries by topic, and queries by the query that they asked."""

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
    """Cached answers for one state; `ask` computes missing ones."""

    def __init__(
        self,
        state: ClusterState,
        known: Map[Query[object], _Known] = Map(),
        change: StateChange | None = None,
        before: Map[Query[object], _Known] = Map(),
    ) -> None:
        self.state = state
        self.change = change
        """The change that led to this state, if the previous answers are known."""
        self._known = known
        self._before = before
        self._asking: list[set[Query[object]]] = []
        self._index: _Index | None = None

    def before(self, query: Query[T_co]) -> T_co | None:
        """Return the answer before the change, or None if unknown."""
        known = self._before.get(query)
        return cast("T_co", known.value) if known is not None else None

    def ask(self, query: Query[T_co]) -> T_co:
        """Return the answer to a query, computing it if needed."""
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
        """Return the answers after a change, and per recomputed query whether its answer differs."""
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
        later._index = index if later.same_dependencies(again) else None
        return later, again

    def same_dependencies(self, queries: Iterable[Query[object]]) -> bool:
        """Return whether these queries asked the same queries as before the change."""
        return all(query in self._before and self._before[query].asked == self._known[query].asked for query in queries)

    def only(self, roots: Iterable[Query[object]]) -> "QueryCache":
        """Return a cache with only the answers that the roots need, directly or indirectly."""
        kept: dict[Query[object], _Known] = {}
        waiting = list(roots)
        while waiting:
            query = waiting.pop()
            if query not in kept and query in self._known:
                kept[query] = self._known[query]
                waiting += kept[query].asked
        return QueryCache(self.state, Map(kept))

    def __contains__(self, query: Query[object]) -> bool:
        """Return whether the answer is cached."""
        return query in self._known
