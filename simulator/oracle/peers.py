"""Evaluation of a rule's peers for one address, and of ``appliedTo`` for one node, with reasons.

Input: the cluster state. Output: a `ReasonedResult` (true or false, and the reason in words). The code is simple and
slow on purpose: every call walks over all objects and caches nothing. Source: ``docs/reference/semantics.md``.
"""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network

from engine.objects import AppliedTo, ClusterGroup, IPBlock, LabelSelector, Node, Peer, Pod, ServiceReference
from engine.objects.config import PrivilegedPeer
from engine.state.fold import ClusterState
from simulator.oracle.labels import ReasonedResult, satisfies
from simulator.packets import Address


def selects_address(address: Address, peers: Sequence[Peer], state: ClusterState, node: str) -> ReasonedResult:
    """Return whether any peer of a rule selects the address; a rule without peers selects every address."""
    if not peers:
        return ReasonedResult(holds=True, why="no peers: any address")
    return _any("peers", (_peer(address, peer, state, node) for peer in peers))


def _any(what: str, findings: Iterable[ReasonedResult]) -> ReasonedResult:
    """Return the first result that holds, or one with all reasons why none does."""
    reasons = []
    for found in findings:
        if found:
            return found
        reasons.append(found.why)
    return ReasonedResult(holds=False, why="; ".join(reasons) or f"{what}: nobody")


def _peer(address: Address, peer: Peer, state: ClusterState, node: str) -> ReasonedResult:
    if isinstance(peer, PrivilegedPeer) and peer.resolvers:
        return _resolver(address, state, node)
    if peer.ip_block is not None:
        return _in_block(address, peer.ip_block)
    if peer.node_selector is not None:
        return _of_node(address, peer.node_selector, state)
    if peer.group is not None:
        return _in_group(address, peer.group, state)
    if peer.service_account is not None:
        account = peer.service_account
        wanted = (account.namespace, account.name)
        pods = [p for p in state.pods.values() if (p.metadata.namespace, p.spec.service_account_name) == wanted]
        return _of_pods(address, pods, f"service account {account.namespace}/{account.name}")
    return _of_selected_pods(address, peer.pod_selector, peer.namespace_selector, state)


def _resolver(address: Address, state: ClusterState, node: str) -> ReasonedResult:
    seen = state.hosts[node].resolvers if node in state.hosts else ()
    resolvers = seen if state.config.resolvers is None else state.config.resolvers
    found = str(address) in {str(ip_address(text)) for text in resolvers}
    return ReasonedResult(found, f"{address} is {'a' if found else 'no'} resolver of the node")


def _in_block(address: Address, block: IPBlock) -> ReasonedResult:
    outer = ip_network(block.cidr)
    if address.version != outer.version or address not in outer:
        return ReasonedResult(holds=False, why=f"{address} is outside {block.cidr}")
    for text in block.except_:
        if address in ip_network(text):
            return ReasonedResult(holds=False, why=f"{address} is in {block.cidr}, but in its exception {text}")
    return ReasonedResult(holds=True, why=f"{address} is in {block.cidr}")


def _of_node(address: Address, selector: LabelSelector, state: ClusterState) -> ReasonedResult:
    for name, node in sorted(state.nodes.items()):
        if address in _node_addresses(node):
            found = satisfies(node.metadata.labels, selector)
            if found:
                return ReasonedResult(holds=True, why=f"{address} is Node {name}: {found.why}")
    owners = [name for name, node in sorted(state.nodes.items()) if address in _node_addresses(node)]
    if not owners:
        return ReasonedResult(holds=False, why=f"{address} is no Node's")
    reasons = (f"Node {name}: {satisfies(state.nodes[name].metadata.labels, selector).why}" for name in owners)
    return ReasonedResult(holds=False, why=f"{address} is " + ", ".join(reasons))


def _node_addresses(node: Node) -> set[Address]:
    return {ip_address(item.address) for item in node.status.addresses if item.type in {"InternalIP", "ExternalIP"}}


def _of_selected_pods(
    address: Address, pods: LabelSelector | None, namespaces: LabelSelector | None, state: ClusterState
) -> ReasonedResult:
    selected = []
    for pod in state.pods.values():
        if pods is not None and not satisfies(pod.metadata.labels, pods):
            continue
        if namespaces is not None:
            space = state.namespaces.get(pod.metadata.namespace)
            if space is None or not satisfies(space.labels, namespaces):
                continue
        selected.append(pod)
    return _of_pods(address, selected, "the Pod selector")


def _of_pods(address: Address, pods: Iterable[Pod], what: str) -> ReasonedResult:
    for pod in pods:
        name = f"Pod {pod.metadata.namespace}/{pod.metadata.name}"
        if address not in {ip_address(item.ip) for item in pod.status.pod_ips}:
            continue
        if pod.status.phase == "Running" and not pod.spec.host_network:
            return ReasonedResult(holds=True, why=f"{address} is {name} of {what}")
    return ReasonedResult(holds=False, why=f"{address} is no running Pod of {what}")


def _in_group(address: Address, name: str, state: ClusterState) -> ReasonedResult:
    group = state.groups.get(name)
    if group is None:
        return ReasonedResult(holds=False, why=f"group {name} is not there")
    found = _in_one_group(address, group, state)
    if found:
        return ReasonedResult(holds=True, why=f"group {name}: {found.why}")
    reasons = [found.why] if not group.spec.child_groups else []
    for child in group.spec.child_groups:
        if child not in state.groups:
            reasons.append(f"child group {child} is not there")
            continue
        inside = _in_one_group(address, state.groups[child], state)
        if inside:
            return ReasonedResult(holds=True, why=f"group {name}, child {child}: {inside.why}")
        reasons.append(f"child {child}: {inside.why}")
    return ReasonedResult(holds=False, why=f"group {name}: {'; '.join(reasons)}")


def _in_one_group(address: Address, group: ClusterGroup, state: ClusterState) -> ReasonedResult:
    spec = group.spec
    if spec.ip_blocks:
        return _any("blocks", (_in_block(address, block) for block in spec.ip_blocks))
    if spec.node_selector is not None:
        return _of_node(address, spec.node_selector, state)
    if spec.service_reference is not None:
        return _of_service(address, spec.service_reference, state)
    if spec.pod_selector is not None or spec.namespace_selector is not None:
        return _of_selected_pods(address, spec.pod_selector, spec.namespace_selector, state)
    return ReasonedResult(holds=False, why="no members of its own")


def _of_service(address: Address, reference: ServiceReference, state: ClusterState) -> ReasonedResult:
    key = f"{reference.namespace}/{reference.name}"
    service = state.services.get(key)
    if service is None:
        return ReasonedResult(holds=False, why=f"Service {key} is not there")
    if service.spec.selector:
        selector = LabelSelector(match_labels=service.spec.selector)
        pods = [p for p in state.pods.values() if p.metadata.namespace == reference.namespace]
        return _of_pods(address, [p for p in pods if satisfies(p.metadata.labels, selector)], f"Service {key}")
    for part in state.endpoint_slices.values():
        if part.metadata.namespace != reference.namespace:
            continue
        if part.metadata.labels.get("kubernetes.io/service-name") != reference.name or part.address_type == "FQDN":
            continue
        if any(address == ip_address(text) for endpoint in part.endpoints for text in endpoint.addresses):
            return ReasonedResult(holds=True, why=f"{address} is an endpoint of Service {key}")
    return ReasonedResult(holds=False, why=f"{address} is no endpoint of Service {key}")


def applies_to_node(entries: Sequence[AppliedTo], state: ClusterState, name: str) -> ReasonedResult:
    """Return whether any entry of ``appliedTo`` selects the node; entries for Pods do not."""
    labels = state.nodes[name].metadata.labels
    return _any("appliedTo", (_applied(entry, labels, state) for entry in entries))


def _applied(entry: AppliedTo, labels: dict[str, str], state: ClusterState) -> ReasonedResult:
    if entry.node_selector is not None:
        return satisfies(labels, entry.node_selector)
    if entry.group is None:
        return ReasonedResult(holds=False, why="it selects Pods")
    group = state.groups.get(entry.group)
    if group is None:
        return ReasonedResult(holds=False, why=f"group {entry.group} is not there")
    groups = [group, *(state.groups[child] for child in group.spec.child_groups if child in state.groups)]
    selectors = [found.spec.node_selector for found in groups if found.spec.node_selector is not None]
    return _any(f"group {entry.group}", (satisfies(labels, selector) for selector in selectors))
