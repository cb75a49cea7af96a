"""Queries that resolve peers, groups and selectors of policies to addresses, and ``appliedTo`` to what it selects.

Each class is a `Query` of :mod:`engine.policy.incremental`. Peers give `AddressBlock` tuples; `addresses_of` resolves
those of one rule. A group in ``appliedTo`` gives a set of `Plane` values: this Node, Pods, both or neither. A group
or selector without matches gives no addresses, never all addresses. Source: Antrea's documentation of
ClusterNetworkPolicy and ClusterGroup.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from immutables import Map

from engine.events import HOST, StateChange, Value
from engine.objects import (
    ClusterGroup,
    EndpointSlice,
    IPBlock,
    LabelSelector,
    Namespace,
    Node,
    Peer,
    Pod,
    Service,
)
from engine.objects.config import PrivilegedPeer
from engine.objects.selectors import Operator, Selector
from engine.policy.completed_rules import Plane
from engine.policy.incremental import QueryCache, Topic, key_topic, label_topic
from engine.policy.prefix_sets import AddressBlock, block_order, single_address, sorted_blocks
from engine.state.fold import ClusterState

AddressBlocks = tuple[AddressBlock, ...]


@dataclass(frozen=True, slots=True)
class NodeAddresses:
    """Query: every InternalIP and ExternalIP of the nodes that a selector selects."""

    depth: ClassVar[int] = 0
    selector: Selector

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Return the topics that may affect the answer."""
        return (("Node", ""),)

    def answer(self, answers: QueryCache) -> AddressBlocks:
        """Return the addresses."""
        return sorted_blocks(block for node in answers.state.nodes.values() for block in self._of(node))

    def touched(self, change: StateChange, state: ClusterState) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return whether the selected addresses of a node changed."""
        return change.kind == "Node" and self._of(change.before) != self._of(change.after)

    def _of(self, item: Value | None) -> AddressBlocks:
        if not isinstance(item, Node) or not self.selector.matches(item.metadata.labels):
            return ()
        return tuple(single_address(address.address) for address in item.status.addresses if address.is_ip)


@dataclass(frozen=True, slots=True)
class CountedAddresses:
    """Addresses with the number of Pods that have each; an address is removed with its last Pod."""

    blocks: AddressBlocks
    pods: Map[AddressBlock, int] = field(compare=False)

    @classmethod
    def of(cls, blocks: Sequence[AddressBlock]) -> "CountedAddresses":
        """Count addresses that are given once per Pod."""
        return cls(sorted_blocks(blocks), Map(Counter(blocks)))

    def after(self, gone: Sequence[AddressBlock], come: Sequence[AddressBlock]) -> "CountedAddresses":
        """Return the counts after one Pod's addresses changed."""
        pods, blocks = self.pods, list(self.blocks)
        for block in gone:
            pods = pods.set(block, pods[block] - 1) if pods[block] > 1 else pods.delete(block)
        for block in come:
            pods = pods.set(block, pods.get(block, 0) + 1)
        for block in {*gone, *come}:
            at = bisect_left(blocks, block_order(block), key=block_order)
            there = blocks[at : at + 1] == [block]
            blocks[at : at + there] = [block] if block in pods else []
        return CountedAddresses(tuple(blocks), pods)


@dataclass(frozen=True, slots=True)
class PodAddresses:
    """Query: addresses of the Pods selected by ``pods``, in the namespaces selected by ``namespaces`` (None is any)."""

    depth: ClassVar[int] = 0
    pods: Selector
    namespaces: Selector | None = None

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Return the topics that may affect the answer."""
        spaces: tuple[Topic, ...] = () if self.namespaces is None else (("Namespace", ""),)
        return (_pods_of(self.pods), *spaces)

    def answer(self, answers: QueryCache) -> CountedAddresses:
        """Return the addresses; after a change of one Pod, by updating the previous answer."""
        state, change, known = answers.state, answers.change, answers.before(self)
        if known is not None and change is not None and change.kind == "Pod":
            gone, come = (tuple(map(single_address, self._of(item, state))) for item in (change.before, change.after))
            return known.after(gone, come)
        inside = {name for name, namespace in state.namespaces.items() if self._in(namespace)}
        pods = (pod for pod in state.pods.values() if self._means(pod, inside))
        return CountedAddresses.of([single_address(text) for pod in pods for text in pod.peer_addresses])

    def touched(self, change: StateChange, state: ClusterState) -> bool:
        """Return whether the selected addresses of a Pod changed, or whether a namespace is selected."""
        if change.kind == "Namespace":
            return self.namespaces is not None and self._in(change.before) != self._in(change.after)
        if change.kind != "Pod":
            return False
        return self._of(change.before, state) != self._of(change.after, state)

    def _of(self, item: Value | None, state: ClusterState) -> tuple[str, ...]:
        if not isinstance(item, Pod):
            return ()
        namespace = state.namespaces.get(item.metadata.namespace)
        inside = {item.metadata.namespace} if self._in(namespace) else set()
        return item.peer_addresses if self._means(item, inside) else ()

    def _means(self, pod: Pod, inside: set[str]) -> bool:
        here = self.namespaces is None or pod.metadata.namespace in inside
        return here and self.pods.matches(pod.metadata.labels)

    def _in(self, item: Value | None) -> bool:
        return isinstance(item, Namespace) and self.namespaces is not None and self.namespaces.matches(item.labels)


@dataclass(frozen=True, slots=True)
class AccountAddresses:
    """Query: addresses of the Pods that run as a service account."""

    depth: ClassVar[int] = 0
    namespace: str
    name: str

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Return the topics that may affect the answer."""
        return (("Pod", ""),)

    def answer(self, answers: QueryCache) -> AddressBlocks:
        """Return the addresses."""
        return _pod_blocks(pod for pod in answers.state.pods.values() if self._runs(pod))

    def touched(self, change: StateChange, state: ClusterState) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return whether the selected addresses of a Pod changed."""
        return change.kind == "Pod" and self._of(change.before) != self._of(change.after)

    def _of(self, item: Value | None) -> tuple[str, ...]:
        return item.peer_addresses if isinstance(item, Pod) and self._runs(item) else ()

    def _runs(self, pod: Pod) -> bool:
        return (pod.metadata.namespace, pod.spec.service_account_name) == (self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class ServiceAddresses:
    """Query: addresses of the Pods that a Service selects, or of its endpoints if it has no selector."""

    depth: ClassVar[int] = 0
    key: str

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Return the topics that may affect the answer."""
        return (key_topic("Service", self.key), ("EndpointSlice", ""), ("Pod", ""))

    def answer(self, answers: QueryCache) -> AddressBlocks:
        """Return the addresses."""
        state = answers.state
        service = state.services.get(self.key)
        if service is None:
            return ()
        if service.spec.selector:
            return _pod_blocks(pod for pod in state.pods.values() if _selects(service, pod))
        slices = (found for found in state.endpoint_slices.values() if found.service == self.key)
        return sorted_blocks(single_address(text) for found in slices for text in found.peer_addresses)

    def touched(self, change: StateChange, state: ClusterState) -> bool:
        """Return whether the Service, one of its slices, or a Pod that it selects changed."""
        ends = (change.before, change.after)
        if change.kind == "EndpointSlice":
            return any(isinstance(item, EndpointSlice) and item.service == self.key for item in ends)
        if change.kind == "Pod":
            service = state.services.get(self.key)
            return service is not None and any(isinstance(item, Pod) and _selects(service, item) for item in ends)
        return change.kind == "Service" and change.key == self.key


def _pods_of(selector: Selector) -> Topic:
    """Return a topic that covers all Pods that a selector selects, as narrow as possible."""
    for each in selector.requirements:
        if each.operator is Operator.IN and len(each.values) == 1:
            return label_topic("Pod", each.key, each.values[0])
    return "Pod", ""


def _selects(service: Service, pod: Pod) -> bool:
    labels = pod.metadata.labels
    wanted = service.spec.selector
    here = pod.metadata.namespace == service.metadata.namespace
    return here and bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


@dataclass(frozen=True, slots=True)
class GroupAddresses:
    """Query: addresses of a group and its children; none if the group does not exist."""

    depth: ClassVar[int] = 1
    name: str

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Return the topics that may affect the answer."""
        return (("ClusterGroup", ""),)

    def answer(self, answers: QueryCache) -> AddressBlocks:
        """Return the addresses."""
        groups = group_with_children(answers.state, self.name)
        return sorted_blocks(block for group in groups for block in _of_group(group, answers))

    def touched(self, change: StateChange, state: ClusterState) -> bool:
        """Return whether the group or one of its children changed."""
        return _about_group(self.name, change, state)


def _of_group(group: ClusterGroup, answers: QueryCache) -> Iterator[AddressBlock]:
    spec = group.spec
    yield from map(_block, spec.ip_blocks)
    if spec.node_selector is not None:
        yield from answers.ask(NodeAddresses(spec.node_selector.selector()))
    if spec.pod_selector is not None or spec.namespace_selector is not None:
        yield from answers.ask(_pods(spec.pod_selector, spec.namespace_selector)).blocks
    if spec.service_reference is not None:
        reference = spec.service_reference
        yield from answers.ask(ServiceAddresses(f"{reference.namespace}/{reference.name}"))


@dataclass(frozen=True, slots=True)
class GroupPlanes:
    """Query: data planes of a node that a group and its children select."""

    depth: ClassVar[int] = 1
    name: str
    node: str

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Return the topics that may affect the answer."""
        return (("ClusterGroup", ""),)

    def answer(self, answers: QueryCache) -> frozenset[Plane]:
        """Return the planes."""
        specs = [group.spec for group in group_with_children(answers.state, self.name)]
        selectors = [spec.node_selector for spec in specs if spec.node_selector is not None]
        ours = any(answers.ask(NodeMatches(self.node, selector.selector())) for selector in selectors)
        pods = any(spec.selects_pods for spec in specs)
        return frozenset((*((Plane.NODES,) if ours else ()), *((Plane.PODS,) if pods else ())))

    def touched(self, change: StateChange, state: ClusterState) -> bool:
        """Return whether the group or one of its children changed."""
        return _about_group(self.name, change, state)


@dataclass(frozen=True, slots=True)
class NodeMatches:
    """Query: whether a selector selects one node."""

    depth: ClassVar[int] = 0
    node: str
    selector: Selector

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Return the topics that may affect the answer."""
        return (key_topic("Node", self.node),)

    def answer(self, answers: QueryCache) -> bool:
        """Return whether the selector selects the node."""
        return self._selects(answers.state.nodes.get(self.node))

    def touched(self, change: StateChange, state: ClusterState) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return whether the node changed."""
        return change.kind == "Node" and change.key == self.node

    def _selects(self, node: Node | None) -> bool:
        return node is not None and self.selector.matches(node.metadata.labels)


@dataclass(frozen=True, slots=True)
class Resolvers:
    """Query: DNS servers of a node, as configured, or else as observed."""

    depth: ClassVar[int] = 0
    node: str

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Return the topics that may affect the answer."""
        return (key_topic(HOST, self.node),)

    def answer(self, answers: QueryCache) -> AddressBlocks:
        """Return the addresses of the DNS servers."""
        told, host = answers.state.config.resolvers, answers.state.hosts.get(self.node)
        seen = host.resolvers if host else ()
        return sorted_blocks(map(single_address, seen if told is None else told))

    def touched(self, change: StateChange, state: ClusterState) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return whether the facts of the host changed."""
        return change.kind == HOST and change.key == self.node


def addresses_of(peers: Iterable[Peer], node: str, answers: QueryCache) -> AddressBlocks | None:
    """Return the union of the peers of a rule, or None (any address) if there are no peers."""
    found = tuple(peers)
    if not found:
        return None
    return sorted_blocks(block for peer in found for block in _blocks(peer, node, answers))


def _blocks(peer: Peer, node: str, answers: QueryCache) -> AddressBlocks:
    if isinstance(peer, PrivilegedPeer) and peer.resolvers:
        return answers.ask(Resolvers(node))
    if peer.ip_block is not None:
        return (_block(peer.ip_block),)
    if peer.node_selector is not None:
        return answers.ask(NodeAddresses(peer.node_selector.selector()))
    if peer.group is not None:
        return answers.ask(GroupAddresses(peer.group))
    if peer.service_account is not None:
        return answers.ask(AccountAddresses(peer.service_account.namespace, peer.service_account.name))
    return answers.ask(_pods(peer.pod_selector, peer.namespace_selector)).blocks


def _pods(pods: LabelSelector | None, namespaces: LabelSelector | None) -> PodAddresses:
    return PodAddresses(pods.selector() if pods else Selector(), namespaces.selector() if namespaces else None)


def group_with_children(state: ClusterState, name: str) -> Iterator[ClusterGroup]:
    """Yield a group and its children, skipping those that do not exist."""
    group = state.groups.get(name)
    if group is not None:
        yield group
        yield from (state.groups[child] for child in group.spec.child_groups if child in state.groups)


def _about_group(name: str, change: StateChange, state: ClusterState) -> bool:
    if change.kind != "ClusterGroup":
        return False
    group = state.groups.get(name)
    return change.key == name or (group is not None and change.key in group.spec.child_groups)


def _pod_blocks(pods: Iterable[Pod]) -> AddressBlocks:
    return sorted_blocks(single_address(text) for pod in pods for text in pod.peer_addresses)


def _block(block: IPBlock) -> AddressBlock:
    return AddressBlock(block.network, block.excepted)
