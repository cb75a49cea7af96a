"""Which rules' traffic a node lives on."""

from dataclasses import replace

from engine.objects.config import Configuration
from engine.policy.lifelines import BUILT_IN, lifelines
from engine.state.fold import ClusterState
from tests.support.rulesets.ruleset_builders import node, world

LEADER = {"node-role.kubernetes.io/control-plane": ""}


def cluster(config: dict[str, object]) -> ClusterState:
    """A node of the control plane and a worker, managed so."""
    state = world(node("cp", "192.0.2.1", labels=LEADER), node("worker", "192.0.2.3"))
    return replace(state, config=Configuration.model_validate(config))


def test_all_that_static_rules_admit_is_a_lifeline() -> None:
    """The defaults and one's own rules are, but for those that admit nothing."""
    rules = [
        {"name": "ssh", "direction": "Ingress", "action": "Allow", "ports": [{"port": 22}]},
        {"name": "telnet", "direction": "Ingress", "action": "Drop", "ports": [{"port": 23}]},
    ]

    names = {rule.name for rule in lifelines(cluster({"privilegedRules": {"rules": rules}}), "cp")}

    assert names >= BUILT_IN - {"dns-out"} | {"ssh", "dhcp-answer-in"}
    assert "telnet" not in names


def test_what_the_cluster_needs_is_a_lifeline_even_if_others_replace_it() -> None:
    """Without the defaults the API server, the kubelet, etcd and DNS still are, each node's own."""
    replaced = cluster({"privilegedRules": {"mode": "Replace", "rules": []}, "resolvers": ["192.0.2.53"]})

    assert {rule.name for rule in lifelines(replaced, "cp")} == BUILT_IN
    assert {rule.name for rule in lifelines(replaced, "worker")} == {"api-server-out", "kubelet-in", "dns-out"}
