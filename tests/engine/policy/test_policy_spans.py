"""The nodes of a policy are those that have rules of it."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from engine.policy.completed_rules import Plane
from engine.policy.policy_spans import PolicySpans
from engine.policy.resolve import resolve
from tests.support.policies.random_clusters import drawn
from tests.support.rulesets.ruleset_builders import cidr, node, policy, world


@given(st.integers(0, 10**9))
def test_a_policy_spans_the_nodes_that_have_rules_of_it(seed: int) -> None:
    """Whatever it is applied to, found for all nodes at once as for each alone."""
    state, spans = drawn(str(seed)).state, PolicySpans()
    found: dict[str, set[str]] = {name: set() for name in state.policies}
    for name in state.nodes:
        for rule in resolve(state, name):
            if rule.plane is Plane.NODES and rule.policy in found:
                found[rule.policy].add(name)
    for name, each in state.policies.items():
        assert (spans.of(state, each) or frozenset()) == found[name]


def test_what_is_known_of_nodes_is_forgotten_with_them() -> None:
    """Another node under the same state of policies is found, and one that is gone is not."""
    one = policy("p", ingress=[{"action": "Drop", "from": [cidr("10.0.0.0/8")]}])
    state, spans = world(node("n1", "192.0.2.1"), one), PolicySpans()
    assert spans.of(state, one) == frozenset({"n1"})
    more = world(node("n1", "192.0.2.1"), node("n2", "192.0.2.2"), one)
    assert spans.of(more, one) == frozenset({"n1", "n2"})
    assert spans.of(replace(more, nodes=more.nodes.delete("n1")), one) == frozenset({"n2"})


def test_a_policy_for_pods_alone_has_no_span() -> None:
    """Which is not the same as one that no node is selected by."""
    spec = {"priority": 5, "appliedTo": [{"podSelector": {}}], "ingress": [{"action": "Drop"}]}
    pods = policy("p").model_validate(
        {"apiVersion": "crd.antrea.io/v1beta1", "kind": "ClusterNetworkPolicy", "metadata": {"name": "p"}, "spec": spec}
    )
    state = world(node("n1", "192.0.2.1"), pods)
    assert PolicySpans().of(state, pods) is None
