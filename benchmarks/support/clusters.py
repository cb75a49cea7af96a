"""Synthetic clusters of a given size."""

from collections.abc import Sequence

from engine.desired.full import DesiredRuleset
from engine.desired.incremental import Derivation
from engine.events import declaration_of
from engine.objects import ClusterNetworkPolicy, Node, Pod
from engine.state.fold import ClusterState, evolve

NODE = "node-0"


def cluster(policies: int, peers: int, actions: Sequence[str] = ("Allow",)) -> ClusterState:
    """Return a cluster of 10 Nodes and many policies for all of them, each with one rule and ``peers`` CIDRs.

    The actions of the policies alternate.
    """
    state = ClusterState()
    for number in range(10):
        state = evolve(state, declaration_of(node_of(number)))
    for number in range(policies):
        state = evolve(state, declaration_of(policy_of(number, peers, actions[number % len(actions)])))
    return state


def desired_by(derivation: Derivation) -> DesiredRuleset:
    """Return the desired ruleset of a node that exists."""
    if derivation.desired is None:
        raise LookupError(NODE)
    return derivation.desired


def node_of(number: int) -> Node:
    """Return a Node with one address of each family."""
    addresses = [f"192.168.{number // 250}.{number % 250 + 1}", f"fd00::{number + 1:x}"]
    status = {"addresses": [{"type": "InternalIP", "address": address} for address in addresses]}
    return Node.model_validate(
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{number}"}, "status": status}
    )


def pod_of(name: str, address: str, app: str) -> Pod:
    """Return a running Pod of the default namespace."""
    metadata = {"name": name, "namespace": "default", "labels": {"app": app}}
    status = {"phase": "Running", "podIPs": [{"ip": address}]}
    return Pod.model_validate({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status})


def policy_of(number: int, peers: int, action: str = "Allow") -> ClusterNetworkPolicy:
    """Return a policy with one rule and a number of CIDRs."""
    cidrs = (f"10.{number % 250}.{peer % 250}.{peer // 250 * 4}/30" for peer in range(peers))
    rule = {
        "action": action,
        "ports": [{"port": 1000 + number}],
        "from": [{"ipBlock": {"cidr": cidr}} for cidr in cidrs],
    }
    return ClusterNetworkPolicy.model_validate(
        {
            "apiVersion": "crd.antrea.io/v1beta1",
            "kind": "ClusterNetworkPolicy",
            "metadata": {"name": f"policy-{number:05}"},
            "spec": {"priority": 5, "appliedTo": [{"nodeSelector": {}}], "ingress": [rule]},
        }
    )


def selecting_policy_of(number: int) -> ClusterNetworkPolicy:
    """Return a policy with one rule that selects the Pods of one app."""
    rule = {
        "action": ("Allow", "Drop", "Reject")[number % 3],
        "ports": [{"port": 1000 + number}],
        "from": [{"podSelector": {"matchLabels": {"app": f"app-{number}"}}}],
    }
    return ClusterNetworkPolicy.model_validate(
        {
            "apiVersion": "crd.antrea.io/v1beta1",
            "kind": "ClusterNetworkPolicy",
            "metadata": {"name": f"policy-{number:05}"},
            "spec": {"priority": 5, "appliedTo": [{"nodeSelector": {}}], "ingress": [rule]},
        }
    )


def fleet(nodes: int, kinds: int, policies: int, *, moved: int = 0) -> ClusterState:
    """Return a cluster of many Nodes in a few pools, with policies for one pool each; some have another port."""
    state = ClusterState()
    for number in range(nodes):
        labels = {"pool": f"pool-{number % kinds}"}
        address = {"type": "InternalIP", "address": f"10.200.{number // 250}.{number % 250 + 1}"}
        metadata = {"name": f"node-{number}", "labels": labels}
        document = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": {"addresses": [address]}}
        state = evolve(state, declaration_of(Node.model_validate(document)))
    for number in range(policies):
        policy = policy_of(number + (policies if number < moved else 0), 5, ("Allow", "Drop")[number % 2])
        selector = {"nodeSelector": {"matchLabels": {"pool": f"pool-{number % kinds}"}}}
        dumped = policy.model_dump(by_alias=True, exclude_none=True)
        dumped["metadata"]["name"] = f"policy-{number}"
        dumped["spec"]["appliedTo"] = [selector]
        state = evolve(state, declaration_of(ClusterNetworkPolicy.model_validate(dumped)))
    return state
