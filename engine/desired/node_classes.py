"""Groups nodes that need the same rules, without resolving the rules.

Input: `ClusterState` and node names. Output: groups of node names. Two nodes need the same rules if the same
``appliedTo`` selectors select them, and they have the same DNS servers and compiler options. So a fleet of thousands of
nodes costs as much work as a few nodes. Errors: `UnknownNode`.
"""

from collections.abc import Iterable, Iterator

from engine.desired.full import options_of
from engine.errors import UnknownNode
from engine.objects import AppliedTo
from engine.objects.selectors import Selector
from engine.policy.incremental import QueryCache
from engine.policy.peers import Resolvers
from engine.state.fold import ClusterState


def node_classes(state: ClusterState, names: Iterable[str] | None = None) -> tuple[tuple[str, ...], ...]:
    """Return the nodes in groups with equal rules, by their first name; ``names`` None is all nodes.

    Raises:
        UnknownNode: the state has no such node.
    """
    selectors = tuple(dict.fromkeys(_selectors(state)))
    answers = QueryCache(state)
    found: dict[object, list[str]] = {}
    for name in sorted(state.nodes if names is None else set(names)):
        if name not in state.nodes:
            raise UnknownNode(name, tuple(sorted(state.nodes)))
        labels = state.nodes[name].metadata.labels
        chosen = tuple(selector.matches(labels) for selector in selectors)
        kind = (chosen, answers.ask(Resolvers(name)), options_of(state, name))
        found.setdefault(kind, []).append(name)
    return tuple(map(tuple, found.values()))


def _selectors(state: ClusterState) -> Iterator[Selector]:
    """Yield the node selectors that affect which rules a node gets."""
    for policy in state.policies.values():
        yield from _of_entries(policy.spec.applied_to)
        for rule in (*policy.spec.ingress, *policy.spec.egress):
            yield from _of_entries(rule.applied_to)
    for privileged in state.config.effective_rules():
        yield from _of_entries(privileged.applied_to)
    for group in state.groups.values():
        if group.spec.node_selector is not None:
            yield group.spec.node_selector.selector()


def _of_entries(entries: Iterable[AppliedTo]) -> Iterator[Selector]:
    return (entry.node_selector.selector() for entry in entries if entry.node_selector is not None)
