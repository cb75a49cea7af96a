"""Many nodes at once: those with the same rules are judged once. All of it is plain values, to be judged anywhere."""

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

from engine.desired.full import desired
from engine.desired.node_classes import kinds
from engine.rulesets.model import Ruleset
from engine.state.fold import ClusterState
from simulator.analysis.compare import VerdictChange, compare
from simulator.analysis.invariants import Invariant
from simulator.analysis.prove import InvariantProof, prove
from simulator.symbolic import Budget


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Nodes for which the outcome is the same, by name."""

    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupComparison(NodeGroup):
    """Nodes and what changes on each of them."""

    changes: tuple[VerdictChange, ...]


@dataclass(frozen=True, slots=True)
class GroupProof(NodeGroup):
    """Nodes and what was found out about invariants on each of them."""

    proofs: tuple[InvariantProof, ...]


def compare_fleet(
    old: ClusterState, new: ClusterState, executor: Executor, budget: Budget
) -> tuple[GroupComparison, ...]:
    """Return what changes on the nodes that both states have, by their first names.

    Raises:
        Refused: a policy names a tier that its state lacks.
        NoProof: memory or time did not do.
        Unconfirmed: the simulator of single packets does not agree.
    """
    shares = list(_shared(old, new, set(old.nodes) & set(new.nodes)))
    sides = [tuple(desired(state, nodes[0]).ruleset for state in (old, new)) for nodes in shares]
    work = [executor.submit(_compared, before, after, budget) for before, after in sides]
    return tuple(GroupComparison(nodes, done.result()) for nodes, done in zip(shares, work, strict=True))


def prove_fleet(
    state: ClusterState, invariants: tuple[Invariant, ...], executor: Executor, budget: Budget
) -> tuple[GroupProof, ...]:
    """Return what was found out about invariants on every node, by first names.

    Raises:
        Refused: a policy names a tier that the state lacks.
        Unconfirmed: the simulator of single packets does not agree.
    """
    shares = kinds(state)
    work = [executor.submit(_proved, desired(state, nodes[0]).ruleset, invariants, budget) for nodes in shares]
    return tuple(GroupProof(nodes, done.result()) for nodes, done in zip(shares, work, strict=True))


def _shared(old: ClusterState, new: ClusterState, names: set[str]) -> Iterator[tuple[str, ...]]:
    """Yield nodes that have the same rules in either state."""
    then, now = (
        {name: nodes for nodes in kinds(state, names) for name in nodes} if names else {} for state in (old, new)
    )
    found: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for name in sorted(names):
        found.setdefault((then[name], now[name]), []).append(name)
    yield from map(tuple, found.values())


def _compared(before: Ruleset, after: Ruleset, budget: Budget) -> tuple[VerdictChange, ...]:
    return compare(before, after, budget=budget)


def _proved(ruleset: Ruleset, invariants: tuple[Invariant, ...], budget: Budget) -> tuple[InvariantProof, ...]:
    return prove(ruleset, invariants, budget=budget)
