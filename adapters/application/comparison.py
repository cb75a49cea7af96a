"""Compares two rulesets or two clusters, and finds the packets that get different verdicts; used by ``nodewall diff``.

Input: two sources of rules as text, such as a path of manifests, ``LOG@SEQ`` or ``live:``. Output:
:class:`VerdictChange` values (packets with their old and new verdict) for one Node, or a :class:`FleetComparison` for
all Nodes.

Raises ``Refused`` for a source that does not parse, and ``NoProof`` if the budget of time or memory is exceeded. Raises
``LogError`` or ``KernelError`` if an event log or the kernel cannot be read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.application.selection import SelectionOptions, families_at, ruleset_at, state_at
from adapters.system.executors import executor_of
from simulator.analysis.compare import VerdictChange, compare
from simulator.analysis.fleet import GroupComparison, compare_fleet
from simulator.symbolic import Budget


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison, in the syntax of :func:`adapters.application.selection.ruleset_at`.

    ``ipset`` is the path of a file with the text of ipset save, for raw text only.
    """

    where: str
    ipset: str | None = None


@dataclass(frozen=True, slots=True)
class FleetComparison:
    """Verdict changes per group of nodes with equal rules, and the nodes that only one side has."""

    kinds: Sequence[GroupComparison]
    only_old: Sequence[str]
    only_new: Sequence[str]

    @property
    def equal(self) -> bool:
        """True if both sides have the same nodes and give every packet the same verdict."""
        return not (self.only_old or self.only_new or any(each.changes for each in self.kinds))

    @property
    def nodes(self) -> int:
        """Number of nodes that at least one side has."""
        return sum(len(each.nodes) for each in self.kinds) + len(self.only_old) + len(self.only_new)


def compare_node(old: Side, new: Side, world: SelectionOptions, allowed: Budget) -> tuple[VerdictChange, ...]:
    """Return the packets to which two sides give different verdicts on one node."""
    before = ruleset_at(old.where, old.ipset, world)
    after = before if new == old else ruleset_at(new.where, new.ipset, world)
    return compare(before, after, families_at(old.where, new.where), allowed)


def compare_nodes(old: str, new: str, world: SelectionOptions, executor: str, allowed: Budget) -> FleetComparison:
    """Return the packets to which two clusters give different verdicts, for every node."""
    before = state_at(old, world)
    after = before if new == old else state_at(new, world)
    with executor_of(executor) as workers:
        kinds = compare_fleet(before, after, workers, allowed)
    gone, come = (sorted(set(one.nodes) - set(other.nodes)) for one, other in ((before, after), (after, before)))
    return FleetComparison(tuple(kinds), gone, come)
