"""From the state of a cluster to the ordered rules of one node: tiers, priorities, selectors, addresses.

Source: ``docs/reference/semantics.md``. Order is ascending (tier priority, policy priority, policy name, rule index)
and never depends on when anything arrived.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.addresses import Block, sorted_blocks
from engine.errors import Fault, Refused, UnknownNode, shown
from engine.names import digest
from engine.objects import ClusterNetworkPolicy, EgressRule, IngressRule, Node, Peer, Port
from engine.rules import ANY_PORT, Action, CompletedRule, Direction, Plane, PortRange, Protocol, Rank, Service
from engine.state import ClusterState
from engine.statics import blocks_of, static_rules


@dataclass(frozen=True, slots=True)
class _Placed:
    """A rule of a policy with its direction and its index in that direction."""

    rule: IngressRule | EgressRule
    direction: Direction
    index: int


def resolve(state: ClusterState, node_name: str) -> tuple[CompletedRule, ...]:
    """Return the effective rules of a node, static ones first, in the order in which they are evaluated.

    Rules of policies that are applied to Pods are among them, marked with their plane.

    Raises:
        UnknownNode: the state has no such node.
        Refused: a policy names a tier that the state lacks.
    """
    node = state.nodes.get(node_name)
    if node is None:
        raise UnknownNode(node_name, tuple(sorted(state.nodes)))
    peers = _PeerResolver(state)
    found = [rule for policy in state.policies.values() for rule in _rules_of(policy, state, node, peers)]
    ordered = sorted(found, key=lambda rule: (rule.rank, rule.direction, rule.plane.value))
    return (*static_rules(state, node), *ordered)


def _rules_of(
    policy: ClusterNetworkPolicy, state: ClusterState, node: Node, peers: "_PeerResolver"
) -> Iterator[CompletedRule]:
    planes = _planes(policy, node)
    if not planes:
        return
    tier = state.tier_priority(policy.spec.tier)
    if tier is None:
        where = f"ClusterNetworkPolicy/{policy.metadata.name}: spec.tier"
        raise Refused((Fault(where, f"no tier {shown(policy.spec.tier)}", "a tier of this world"),))
    for placed, name in _named(policy):
        for plane in planes:
            yield CompletedRule(
                policy=policy.metadata.name,
                name=name,
                rank=Rank(tier, policy.spec.priority, policy.metadata.name, placed.index),
                direction=placed.direction,
                action=Action(placed.rule.action),
                peers=peers.resolve(placed.rule.peers),
                services=tuple(sorted({_service(port) for port in placed.rule.ports})),
                plane=plane,
            )


def _planes(policy: ClusterNetworkPolicy, node: Node) -> tuple[Plane, ...]:
    """Return the data planes of this node that the policy is for."""
    entries = policy.spec.applied_to
    selectors = [entry.node_selector.selector() for entry in entries if entry.node_selector is not None]
    planes = [Plane.NODES] if any(s.matches(node.metadata.labels) for s in selectors) else []
    # Which Pods are on this node is for the data plane of Pods to find out.
    return (*planes, Plane.PODS) if len(selectors) < len(entries) else tuple(planes)


def _placed(policy: ClusterNetworkPolicy) -> Iterator[_Placed]:
    for index, ingress in enumerate(policy.spec.ingress):
        yield _Placed(ingress, Direction.INGRESS, index)
    for index, egress in enumerate(policy.spec.egress):
        yield _Placed(egress, Direction.EGRESS, index)


def _named(policy: ClusterNetworkPolicy) -> Iterator[tuple[_Placed, str]]:
    """Yield the rules with their names; one without gets ``direction-action-hash``.

    The hash leaves the peers out, so that a rule keeps its name, and with it its set, when a peer comes or goes;
    rules that are alike but for their peers are told apart by how many stand before them.
    """
    taken = {rule.name for rule in (*policy.spec.ingress, *policy.spec.egress) if rule.name}
    for placed in _placed(policy):
        if placed.rule.name:
            yield placed, placed.rule.name
            continue
        name = next(name for name in _generated(placed) if name not in taken)
        taken.add(name)
        yield placed, name


def _generated(placed: _Placed) -> Iterator[str]:
    ports = repr(sorted(_service(port) for port in placed.rule.ports))
    occurrence = 0
    while True:
        content = digest(placed.direction, placed.rule.action, ports, str(occurrence), digits=7)
        yield f"{placed.direction}-{placed.rule.action.lower()}-{content}"
        occurrence += 1


def _service(port: Port) -> Service:
    return Service(
        protocol=Protocol(port.protocol.lower()),
        ports=_range(port.port, port.end_port),
        source_ports=_range(port.source_port, port.source_end_port),
    )


def _range(first: int | None, last: int | None) -> PortRange:
    return ANY_PORT if first is None else (first, last if last is not None else first)


class _PeerResolver:
    """Turns peers into blocks; remembers the nodes of a selector, which many rules share."""

    def __init__(self, state: ClusterState) -> None:
        self._nodes = tuple(state.nodes.values())
        self._selected: dict[object, tuple[Block, ...]] = {}

    def resolve(self, peers: tuple[Peer, ...]) -> tuple[Block, ...] | None:
        """Return the union of the peers, or None (anywhere) where a rule names none."""
        if not peers:
            return None
        return sorted_blocks(block for peer in peers for block in self._blocks(peer))

    def _blocks(self, peer: Peer) -> Iterable[Block]:
        if peer.ip_block is not None:
            return (Block(peer.ip_block.network, peer.ip_block.excepted),)
        if peer.node_selector is None:
            return ()
        selector = peer.node_selector.selector()
        if selector not in self._selected:
            chosen = tuple(node for node in self._nodes if selector.matches(node.metadata.labels))
            self._selected[selector] = blocks_of(chosen)
        return self._selected[selector]
