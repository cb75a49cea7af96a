"""The static rules: what keeps a node reachable by its cluster, ahead of every policy and no wider than needed.

Antrea issue 5671 asks for such rules because a deny-all policy could cut the API server off for good. Loopback and
established traffic are not listed here: they are the first rules of every compiled chain.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from engine.addresses import Block, single, sorted_blocks
from engine.objects import Node
from engine.rules import Action, CompletedRule, Direction, Protocol, Rank, Service
from engine.state import ClusterState

STATIC_POLICY = "(static)"
"""Stands where a policy's name would; no object can bear it, so a comment that names it is unambiguous."""

CONTROL_PLANE_LABELS = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")

_BOTH = (Direction.INGRESS, Direction.EGRESS)
_IN = (Direction.INGRESS,)
_OUT = (Direction.EGRESS,)

_TIER = -1
"""Ranks before the lowest tier a policy can be in."""


@dataclass(frozen=True, slots=True)
class _Lifeline:
    """A kind of traffic that always passes; peers are resolved per node."""

    name: str
    directions: tuple[Direction, ...]
    services: tuple[Service, ...]


def _icmpv6(*types: int) -> tuple[Service, ...]:
    return tuple(Service(Protocol.ICMPV6, icmp=(kind, -1)) for kind in types)


def _udp(source: int, destination: int) -> Service:
    return Service(Protocol.UDP, (destination, destination), (source, source))


def _tcp(first: int, last: int) -> tuple[Service, ...]:
    return (Service(Protocol.TCP, (first, last)),)


_ANYWHERE = (
    _Lifeline("neighbour-discovery", _BOTH, _icmpv6(133, 134, 135, 136)),  # RFC 4861
    _Lifeline("multicast-listener", _BOTH, _icmpv6(130, 131, 132, 143)),  # RFC 2710, RFC 3810
    _Lifeline("path-mtu", _BOTH, (Service(Protocol.ICMP, icmp=(3, 4)), *_icmpv6(2))),  # RFC 1191, RFC 8201
    _Lifeline("dhcp-answer", _IN, (_udp(67, 68), _udp(547, 546))),  # RFC 2131, RFC 8415
    _Lifeline("dhcp-request", _OUT, (_udp(68, 67), _udp(546, 547))),
)

API_SERVER = _tcp(6443, 6443)
KUBELET = _tcp(10250, 10250)
ETCD = _tcp(2379, 2380)


def static_rules(state: ClusterState, node: Node) -> tuple[CompletedRule, ...]:
    """Return the static rules of one node, in order."""
    found = [*_anywhere(), *_cluster(state, node)]
    return tuple(
        CompletedRule(
            policy=STATIC_POLICY,
            name=f"{name}-{'in' if direction is Direction.INGRESS else 'out'}",
            rank=Rank(_TIER, 0.0, STATIC_POLICY, index),
            direction=direction,
            action=Action.ALLOW,
            peers=peers,
            services=services,
        )
        for index, (name, direction, services, peers) in enumerate(found)
    )


_Row = tuple[str, Direction, tuple[Service, ...], tuple[Block, ...] | None]


def _anywhere() -> Iterator[_Row]:
    for line in _ANYWHERE:
        for direction in line.directions:
            yield line.name, direction, line.services, None


def _cluster(state: ClusterState, node: Node) -> Iterator[_Row]:
    """Yield the paths between the nodes that the cluster lives on, as far as this node takes part in them."""
    everyone = blocks_of(tuple(state.nodes.values()))
    leaders = blocks_of(tuple(n for n in state.nodes.values() if is_control_plane(n)))
    yield "api-server", Direction.EGRESS, API_SERVER, leaders
    yield "kubelet", Direction.INGRESS, KUBELET, leaders
    if is_control_plane(node):
        yield "api-server", Direction.INGRESS, API_SERVER, everyone
        yield "kubelet", Direction.EGRESS, KUBELET, everyone
        yield "etcd", Direction.INGRESS, ETCD, leaders
        yield "etcd", Direction.EGRESS, ETCD, leaders


def is_control_plane(node: Node) -> bool:
    """Return whether the node bears one of the control plane's labels."""
    return any(label in node.metadata.labels for label in CONTROL_PLANE_LABELS)


def blocks_of(nodes: tuple[Node, ...]) -> tuple[Block, ...]:
    """Return every InternalIP and ExternalIP of the nodes as blocks of one address, sorted."""
    return sorted_blocks(single(a.address) for node in nodes for a in node.status.addresses if a.is_ip)
