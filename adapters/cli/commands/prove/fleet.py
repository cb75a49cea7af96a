"""Implements ``diff --all-nodes`` and ``prove --all-nodes``: analyses all Nodes of a cluster.

Nodes with equal rules form a group, which is analysed only once. Input: the options that name the cluster states, and
an executor (local processes or a Dask scheduler). Output: verdict changes or proofs per group, and the exit code. For
diff, a Node that only one of the two clusters has counts as a difference.

Raises ``Refused`` if ``--node`` is given too, and ``NoProof`` if diff exceeds the limits on time or memory.
"""

from collections.abc import Sequence

import click

from adapters.application.comparison import compare_nodes
from adapters.application.selection import SelectionOptions, state_of
from adapters.cli.options import FleetOptions
from adapters.cli.render.changes import effect_as_json, effect_as_text
from adapters.cli.render.output import emit, plural
from adapters.cli.render.proofs import exit_code, proofs_as_json, proofs_as_text
from adapters.system.executors import executor_of
from engine.errors import Fault, Refused
from simulator.analysis.fleet import GroupComparison, GroupProof, prove_fleet
from simulator.analysis.invariants import ParsedInvariant
from simulator.symbolic import Budget

_SHOWN = 3
"""Most node names in the heading of a group."""


def diff_fleet(
    sides: tuple[str, str], world: SelectionOptions, fleet: FleetOptions, allowed: Budget, output: str
) -> int:
    """Write the verdict changes per group of Nodes; return 1 if there are any or a Node is on one side only."""
    _no_node(world)
    found = compare_nodes(*sides, world, fleet.executor, allowed)
    kinds = [{"nodes": list(each.nodes), **effect_as_json(each.changes)} for each in found.kinds]
    gone, come = list(found.only_old), list(found.only_new)
    data = {"equal": found.equal, "nodes": found.nodes, "only_old": gone, "only_new": come, "kinds": kinds}
    emit(output, data, lambda: _diff_as_text(found.kinds, gone, come))
    return int(not found.equal)


def prove_all(
    invariants: tuple[ParsedInvariant, ...], world: SelectionOptions, fleet: FleetOptions, allowed: Budget, output: str
) -> int:
    """Write the proofs per group of Nodes, and return their exit code."""
    _no_node(world)
    state = state_of(world)
    with executor_of(fleet.executor) as executor:
        found = prove_fleet(state, invariants, executor, allowed)
    proofs = [proof for each in found for proof in each.proofs]
    kinds = [{"nodes": list(each.nodes), **proofs_as_json(each.proofs)} for each in found]
    holds = all(proof.holds for proof in proofs)
    emit(output, {"holds": holds, "nodes": len(state.nodes), "kinds": kinds}, lambda: _proofs_as_text(found))
    return exit_code(proofs)


def _no_node(world: SelectionOptions) -> None:
    """Raise ``Refused`` if ``--node`` is given, because all nodes are judged."""
    if world.node:
        raise Refused((Fault("--node", "has no use beside --all-nodes", "one of the two"),))


def _diff_as_text(found: Sequence[GroupComparison], gone: Sequence[str], come: Sequence[str]) -> str:
    parts = [f"{_named(each.nodes)}\n{_indented(effect_as_text(each.changes))}" for each in found]
    parts += [f"{_named(nodes)}\n  only in {side}" for nodes, side in ((gone, "OLD"), (come, "NEW")) if nodes]
    return "\n".join([*parts, f"{plural(len(found), 'kind')} of nodes"])


def _proofs_as_text(found: Sequence[GroupProof]) -> str:
    parts = [f"{_named(each.nodes)}\n{_indented(proofs_as_text(each.proofs))}" for each in found]
    return "\n".join([*parts, f"{plural(len(found), 'kind')} of nodes"])


def _named(nodes: Sequence[str]) -> str:
    more = f" and {len(nodes) - _SHOWN} more" if len(nodes) > _SHOWN else ""
    return click.style(", ".join(nodes[:_SHOWN]) + more, bold=True)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
