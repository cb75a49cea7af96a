"""Schedules changes into a plan of ordered steps, each one run of one tool, with as few steps as dependencies allow.

Input: `RulesetChange` values from :func:`engine.rulesets.diff.diff`. Output: `Plan`. A rule needs its sets and chains
first; a set or chain is deleted only when no rule needs it. So a plan fills sets, then switches the rules of a family
in one restore, then removes unused members and sets.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from heapq import heappop, heappush
from itertools import groupby, pairwise

import networkx as nx

from engine.rulesets.diff import (
    ChainEdit,
    MemberAdded,
    MemberChanged,
    MemberRemoved,
    RulesetChange,
    SetCreated,
    SetDestroyed,
    SetEdit,
)
from engine.rulesets.model import Family


class Tool(StrEnum):
    """A program that changes the kernel."""

    IPSET = "ipset"
    IPTABLES = "iptables"
    IP6TABLES = "ip6tables"


FAMILY_TOOL = {Family.IPV4: Tool.IPTABLES, Family.IPV6: Tool.IP6TABLES}


@dataclass(frozen=True, slots=True)
class Step:
    """One run of a tool, with the changes that it makes.

    :func:`engine.rulesets.text.steps.render_step` returns its input text.
    """

    tool: Tool
    changes: tuple[RulesetChange, ...]

    @property
    def atomic(self) -> bool:
        """Whether a refused step changes nothing; ipset takes effect line by line."""
        return self.tool is not Tool.IPSET


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order."""

    steps: tuple[Step, ...] = ()

    @property
    def changes(self) -> tuple[RulesetChange, ...]:
        """All changes in the order in which they take effect."""
        return tuple(change for step in self.steps for change in step.changes)


def make_plan(changes: Sequence[RulesetChange]) -> Plan:
    """Return the plan for changes from :func:`engine.rulesets.diff.diff`."""
    # A set is recreated only after the old one is destroyed, and that only after the rules that use it are gone.
    replaced = (isinstance(change, SetDestroyed) and change.replaced for change in changes)
    begin = max((index for index, found in enumerate(replaced, 1) if found), default=0)
    return Plan((*_steps(changes[:begin]), *_steps(changes[begin:])))


def _steps(changes: Sequence[RulesetChange]) -> tuple[Step, ...]:
    schedule = _Schedule(changes)
    steps: list[Step] = []
    while schedule.unfinished:
        steps += [Step(tool, taken) for tool in Tool if (taken := tuple(schedule.take(tool)))]
    return tuple(steps)


class _Schedule:
    """Scheduler that hands out changes by tool, once all their dependencies were handed out.

    Consecutive changes of the same chain, or that fill or empty the same set, form one row.
    """

    def __init__(self, changes: Sequence[RulesetChange]) -> None:
        self._rows = [tuple(row) for _, row in groupby(changes, _place)]
        self._graph = _dependencies([_place(row[0]) for row in self._rows])
        self._waiting_for = dict(self._graph.in_degree())
        self._ready: dict[Tool, list[int]] = {tool: [] for tool in Tool}
        for node in sorted(node for node, count in self._waiting_for.items() if count == 0):
            self._release(node)

    @property
    def unfinished(self) -> bool:
        """Whether any change is left."""
        return any(self._ready.values())

    def take(self, tool: Tool) -> Iterator[RulesetChange]:
        """Yield all changes that the tool can make now, including those that become possible meanwhile."""
        while self._ready[tool]:
            node = heappop(self._ready[tool])
            yield from self._rows[node]
            self._done(node)

    def _release(self, node: int) -> None:
        if node >= 0:
            heappush(self._ready[tool_of(self._rows[node][0])], node)
        else:
            self._done(node)  # a milestone takes no time

    def _done(self, node: int) -> None:
        for after in sorted(self._graph.successors(node)):
            self._waiting_for[after] -= 1
            if self._waiting_for[after] == 0:
                self._release(after)


class _Part(Enum):
    """Kind of change: fills a set, edits a chain, or empties a set."""

    FILL = auto()
    EDIT = auto()
    EMPTY = auto()


def _place(change: RulesetChange) -> tuple[_Part, tuple[str, ...]]:
    """Return the kind of a change and its set or chain."""
    if isinstance(change, ChainEdit):
        return _Part.EDIT, (change.family, change.table, change.chain)
    return _Part.EMPTY if isinstance(change, MemberRemoved | SetDestroyed) else _Part.FILL, (set_name_of(change),)


_SETS_FILLED, _RULES_SWITCHED = -1, -2
"""Milestones of the graph; negative, unlike the indices of rows."""


def _dependencies(places: Sequence[tuple[_Part, tuple[str, ...]]]) -> "nx.DiGraph[int]":
    """Return the dependency graph: nodes are row indices and milestones, edges point to what comes later."""
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from((*range(len(places)), _SETS_FILLED, _RULES_SWITCHED))
    graph.add_edge(_SETS_FILLED, _RULES_SWITCHED)
    alike: dict[tuple[_Part, tuple[str, ...]], list[int]] = {}
    for index, (part, name) in enumerate(places):
        if part is _Part.EDIT:
            graph.add_edge(_SETS_FILLED, index)
            graph.add_edge(index, _RULES_SWITCHED)
        elif part is _Part.EMPTY:
            graph.add_edge(_RULES_SWITCHED, index)
        else:
            graph.add_edge(index, _SETS_FILLED)
        alike.setdefault((part, name), []).append(index)
    # Rule positions depend on earlier edits of the chain; members depend on their set.
    for indices in alike.values():
        graph.add_edges_from(pairwise(indices))
    return graph


def set_name_of(change: SetEdit) -> str:
    """Return the name of the set that a change affects."""
    match change:
        case SetCreated(item):
            return item.name
        case SetDestroyed(name):
            return name
        case MemberAdded(name) | MemberChanged(name) | MemberRemoved(name):
            return name


def tool_of(change: RulesetChange) -> Tool:
    """Return the tool that makes a change."""
    return FAMILY_TOOL[change.family] if isinstance(change, ChainEdit) else Tool.IPSET
