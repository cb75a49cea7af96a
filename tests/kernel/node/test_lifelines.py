"""A default deny on every Node of a cluster, in the emergency tier, leaves what the cluster lives on, and no more."""

from collections.abc import Iterator
from itertools import permutations

import pytest

from adapters import wiring
from adapters.lab.netns import DeliveryOutcome, Lab, LabHost
from adapters.netfilter.backend_name import BackendName
from engine.desired.full import desired_ruleset
from engine.reconcile.reconciler import apply_proposal, propose
from engine.state.fold import ClusterState
from simulator.guard.guard import TrustingVerifier
from tests.support.rulesets.ruleset_builders import NullWatch, node, policy, world

pytestmark = pytest.mark.kernel

LEADER = {"node-role.kubernetes.io/control-plane": ""}
NODES = {
    "cp-1": (("192.0.2.1", "2001:db8::1"), LEADER),
    "cp-2": (("192.0.2.2", "2001:db8::2"), LEADER),
    "worker": (("192.0.2.3", "2001:db8::3"), {}),
}
LEADERS = frozenset({"cp-1", "cp-2"})
STRANGER = LabHost("stranger", ("198.51.100.9", "2001:db8:9::9"))
TCP, UDP = 6, 17
PORTS = (
    *((TCP, port) for port in (22, 80, 2379, 2380, 2381, 6443, 10250, 10251)),
    *((UDP, port) for port in (53, 2379, 6443, 10250)),
)

DENY = policy("deny", ingress=[{"action": "Drop"}], egress=[{"action": "Drop"}], tier="emergency", priority=1.0)


def lives_on(source: str, target: str, protocol: int, port: int) -> bool:
    """Return whether the cluster needs a path: kubelet, etcd and API server, between the Nodes that use them."""
    if protocol != TCP:
        return False
    return (
        (port == 6443 and target in LEADERS and source in NODES)
        or (port == 10250 and source in LEADERS and target in NODES)
        or (port in {2379, 2380} and {source, target} <= LEADERS)
    )


@pytest.fixture
def cluster(kernel: None, backend: str) -> Iterator[Lab]:  # noqa: ARG001 - asked for its effect
    """Three Nodes, each with the rules that are its own in force, and a stranger, on one link."""
    state: ClusterState = world(
        *(node(name, *addresses, labels=labels) for name, (addresses, labels) in NODES.items()), DENY
    )
    hosts = tuple(LabHost(name, addresses) for name, (addresses, _) in NODES.items())
    with Lab((*hosts, STRANGER)) as lab:
        for name in NODES:
            kernel_of = wiring.kernel(lab.netns(name), BackendName(backend))
            wanted = desired_ruleset(state, name).ruleset
            apply_proposal(propose(wanted, kernel_of, TrustingVerifier(), NullWatch()), kernel_of, NullWatch())
        yield lab


def test_the_cluster_lives_on_and_nothing_else_does(cluster: Lab) -> None:
    """Neighbours are found, kubelets, etcd and API servers are reached over both families, and nothing else is.

    IPv6 addresses are reached only if neighbour discovery works: no host of the lab has any neighbour by heart.
    """
    addresses = {name: found for name, (found, _) in NODES.items()} | {STRANGER.name: STRANGER.addresses}
    ways = [
        (source, target, address, protocol, port)
        for source, target in permutations(addresses, 2)
        for address in addresses[target]
        for protocol, port in PORTS
    ]

    found = cluster.connect_all([(source, to, port, protocol) for source, _, to, protocol, port in ways], timeout=2)

    wrong = [
        (way, outcome)
        for way, outcome in zip(ways, found, strict=True)
        if outcome is not (DeliveryOutcome.ACCEPT if lives_on(way[0], way[1], way[3], way[4]) else DeliveryOutcome.DROP)
    ]
    assert wrong == []
    assert sum(outcome is DeliveryOutcome.ACCEPT for outcome in found) == 2 * (4 + 4 + 2 * 2)
