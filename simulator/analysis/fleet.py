"""Comparison of rules and proof of invariants for many nodes: nodes with equal rules are computed once, as one group.

`compare_fleet` takes two cluster states and returns the verdict changes per group; `prove_fleet` takes one state and
invariants and returns the results per group. Both run the groups in parallel on an `Executor`, which may use
processes.

Raises `Refused` for a policy with an unknown tier, and `WitnessMismatch` if the packet simulator disagrees with the
result. `compare_fleet` also raises `NoProof` if the budget of time or memory is exceeded.
"""

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

from engine.desired.full import desired_ruleset
from engine.desired.node_classes import node_classes
from engine.rulesets.model import Ruleset
from engine.state.fold import ClusterState
from simulator.analysis.compare import VerdictChange, compare
from simulator.analysis.invariants import ParsedInvariant
from simulator.analysis.prove import InvariantProof, prove
from simulator.symbolic import Budget


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Names of the nodes that share a result."""

    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupComparison(NodeGroup):
    """Nodes and the verdict changes on each of them."""

    changes: tuple[VerdictChange, ...]


@dataclass(frozen=True, slots=True)
class GroupProof(NodeGroup):
    """Nodes and the invariant results on each of them."""

    proofs: tuple[InvariantProof, ...]


def compare_fleet(
    old: ClusterState, new: ClusterState, executor: Executor, budget: Budget
) -> tuple[GroupComparison, ...]:
    """Return the verdict changes on the nodes that both states have, ordered by the first name of each group.

    Raises:
        Refused: A policy names a tier that its state lacks.
        NoProof: The budget of memory or time is exceeded.
        WitnessMismatch: The packet simulator disagrees.
    """
    shares = list(_shared(old, new, set(old.nodes) & set(new.nodes)))
    sides = [tuple(desired_ruleset(state, nodes[0]).ruleset for state in (old, new)) for nodes in shares]
    work = [executor.submit(_compared, before, after, budget) for before, after in sides]
    return tuple(GroupComparison(nodes, done.result()) for nodes, done in zip(shares, work, strict=True))


def prove_fleet(
    state: ClusterState, invariants: tuple[ParsedInvariant, ...], executor: Executor, budget: Budget
) -> tuple[GroupProof, ...]:
    """Return the invariant results on every node, ordered by the first name of each group.

    Raises:
        Refused: A policy names a tier that the state lacks.
        WitnessMismatch: The packet simulator disagrees.
    """
    shares = node_classes(state)
    work = [executor.submit(_proved, desired_ruleset(state, nodes[0]).ruleset, invariants, budget) for nodes in shares]
    return tuple(GroupProof(nodes, done.result()) for nodes, done in zip(shares, work, strict=True))


def _shared(old: ClusterState, new: ClusterState, names: set[str]) -> Iterator[tuple[str, ...]]:
    """Yield groups of nodes that have equal rules in each of the two states."""
    then, now = (
        {name: nodes for nodes in node_classes(state, names) for name in nodes} if names else {} for state in (old, new)
    )
    found: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for name in sorted(names):
        found.setdefault((then[name], now[name]), []).append(name)
    yield from map(tuple, found.values())


def _compared(before: Ruleset, after: Ruleset, budget: Budget) -> tuple[VerdictChange, ...]:
    return compare(before, after, budget=budget)


def _proved(ruleset: Ruleset, invariants: tuple[ParsedInvariant, ...], budget: Budget) -> tuple[InvariantProof, ...]:
    return prove(ruleset, invariants, budget=budget)
