"""Nodes of one kind have the same rules, and kinds are found without working rules out."""

import pytest

from engine.desired.full import desired_ruleset
from engine.desired.node_classes import node_classes
from engine.errors import UnknownNode
from engine.state.fold import ClusterState
from tests.support.policies.random_clusters import drawn

SEEDS = [f"kinds {number}" for number in range(60)]


@pytest.mark.parametrize("seed", SEEDS)
def test_nodes_of_one_kind_have_the_same_rules(seed: str) -> None:
    """Whatever the cluster, the nodes of a kind have equal rules, and every node is of one kind."""
    state = drawn(seed).state

    found = node_classes(state)

    assert sorted(name for kind in found for name in kind) == sorted(state.nodes)
    for first, *others in found:
        assert all(desired_ruleset(state, name) == desired_ruleset(state, first) for name in others)


def test_labels_that_nobody_asks_for_tell_no_kinds_apart() -> None:
    """A cluster without policies has one kind of nodes."""
    state = drawn("kinds 0").state

    assert len(node_classes(ClusterState(nodes=state.nodes))) == 1


def test_a_node_that_is_not_there_is_refused() -> None:
    """Asking for the kind of an unknown node says which there are."""
    with pytest.raises(UnknownNode):
        node_classes(drawn("kinds 0").state, ["nowhere"])
