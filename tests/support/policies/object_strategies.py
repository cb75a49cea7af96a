"""Hypothesis strategies for declared objects, over the whole language that nodewall supports."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from hypothesis import strategies as st

from engine.objects import (
    BASELINE_TIER,
    RESERVED_TIERS,
    ClusterGroup,
    ClusterNetworkPolicy,
    ClusterObject,
    EndpointSlice,
    Namespace,
    Node,
    Pod,
    Service,
    Tier,
    key_of,
)
from engine.state.admission import MAX_TIERS

Json = dict[str, object]

LABEL_KEYS = ("app", "zone", "example.com/role", "node-role.kubernetes.io/control-plane")
LABEL_VALUES = ("", "a", "b", "edge-1", "x.y_z")
"""Few keys and values, so that selectors often match labels."""

names = st.from_regex(r"[a-z][a-z0-9]{0,4}(?:-[a-z0-9]{1,3})?", fullmatch=True)
"""Strategy for names of objects."""

labels = st.dictionaries(st.sampled_from(LABEL_KEYS), st.sampled_from(LABEL_VALUES), max_size=3)
"""Strategy for labels of an object, or matchLabels of a selector."""

_free_tier_priorities = sorted(set(range(251)) - set(RESERVED_TIERS.values()))
_rule_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 _.:/-]{0,20}", fullmatch=True)
_ports = st.sampled_from((1, 22, 80, 443, 6443, 10250, 65535)) | st.integers(1, 65535)


@st.composite
def networks(draw: st.DrawFn, min_prefix: int = 0) -> IPv4Network | IPv6Network:
    """Draw a network of either family, often a single address or the shortest prefix."""
    bits = draw(st.sampled_from((32, 128)))
    prefix = draw(st.sampled_from((min_prefix, bits)) | st.integers(min_prefix, bits))
    address = draw(st.integers(0, 2**bits - 1)) >> (bits - prefix) << (bits - prefix)
    return (IPv4Network if bits == 32 else IPv6Network)((address, prefix))


@st.composite
def _parts(draw: st.DrawFn, outer: IPv4Network | IPv6Network) -> str:
    """Draw a network strictly inside ``outer``."""
    prefix = draw(st.integers(outer.prefixlen + 1, outer.max_prefixlen))
    step = outer.max_prefixlen - prefix
    offset = draw(st.integers(0, 2 ** (prefix - outer.prefixlen) - 1)) << step
    return str(type(outer)((int(outer.network_address) + offset, prefix)))


@st.composite
def ip_blocks(draw: st.DrawFn) -> Json:
    """Draw an ipBlock; one with more than one address may have exceptions."""
    outer = draw(networks())
    if outer.prefixlen == outer.max_prefixlen:
        return {"cidr": str(outer)}
    excepted = draw(st.lists(_parts(outer), max_size=2, unique=True))
    return {"cidr": str(outer), "except": excepted} if excepted else {"cidr": str(outer)}


@st.composite
def _expressions(draw: st.DrawFn) -> Json:
    key = draw(st.sampled_from(LABEL_KEYS))
    operator = draw(st.sampled_from(("In", "NotIn", "Exists", "DoesNotExist")))
    if operator in {"Exists", "DoesNotExist"}:
        return {"key": key, "operator": operator}
    values = draw(st.lists(st.sampled_from(LABEL_VALUES), min_size=1, max_size=3, unique=True))
    return {"key": key, "operator": operator, "values": values}


@st.composite
def label_selectors(draw: st.DrawFn) -> Json:
    """Draw a label selector, often the empty one, which selects every object."""
    return draw(
        st.fixed_dictionaries(
            {}, optional={"matchLabels": labels, "matchExpressions": st.lists(_expressions(), max_size=2)}
        )
    )


@st.composite
def port_entries(draw: st.DrawFn) -> Json:
    """Draw an entry of ``ports``: only a protocol, single ports, ranges, source ports."""
    entry: Json = {"protocol": draw(st.sampled_from(("TCP", "UDP", "SCTP")))}
    for first, last in (("port", "endPort"), ("sourcePort", "sourceEndPort")):
        if draw(st.booleans()):
            low = draw(_ports)
            entry[first] = low
            if draw(st.booleans()):
                entry[last] = draw(st.integers(low, 65535))
    return entry


def _entry(key: str, part: object) -> Json:
    return {key: part}


_icmp: st.SearchStrategy[Json] = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"icmpType": st.integers(0, 255)}, optional={"icmpCode": st.integers(0, 255)}),
).map(lambda part: _entry("icmp", part))

_igmp: st.SearchStrategy[Json] = st.fixed_dictionaries(
    {},
    optional={
        "igmpType": st.integers(0, 255),
        "groupAddress": st.ip_addresses(v=4, network="224.0.0.0/4").map(str),
    },
).map(lambda part: _entry("igmp", part))

_pods: st.SearchStrategy[Json] = st.one_of(
    st.fixed_dictionaries({"podSelector": label_selectors()}, optional={"namespaceSelector": label_selectors()}),
    st.fixed_dictionaries({"namespaceSelector": label_selectors()}),
)

_accounts: st.SearchStrategy[Json] = st.fixed_dictionaries({"name": names, "namespace": names})


def peers() -> st.SearchStrategy[Json]:
    """Draw an entry of ``from`` or ``to``."""
    return st.one_of(
        st.fixed_dictionaries({"ipBlock": ip_blocks()}),
        st.fixed_dictionaries({"nodeSelector": label_selectors()}, optional={"scope": st.just("Cluster")}),
        _pods,
        st.fixed_dictionaries({"serviceAccount": _accounts}),
        st.fixed_dictionaries({"group": names}),
    )


_applied: st.SearchStrategy[Json] = st.one_of(
    st.fixed_dictionaries({"nodeSelector": label_selectors()}),
    st.fixed_dictionaries({"group": names}),
    _pods,
    st.fixed_dictionaries({"serviceAccount": _accounts}),
)


@st.composite
def rules(draw: st.DrawFn, direction: str, actions: Sequence[str] = ("Allow", "Drop", "Reject", "Pass")) -> Json:
    """Draw a rule without a name for ``ingress`` or ``egress``."""
    rule: Json = {"action": draw(st.sampled_from(tuple(actions)))}
    if far := draw(st.lists(peers(), max_size=2)):
        rule["from" if direction == "ingress" else "to"] = [peer for peer in far if not _is_multicast(peer)]
    if ports := draw(st.lists(port_entries(), max_size=2)):
        rule["ports"] = ports
    if protocols := draw(st.lists(_icmp, max_size=2)):
        rule["protocols"] = protocols
    elif not ports and rule["action"] in {"Allow", "Drop"} and draw(st.booleans()):
        rule["protocols"] = draw(st.lists(_igmp, min_size=1, max_size=2))
    if draw(st.booleans()):
        rule["enableLogging"] = True
        rule["logLabel"] = draw(st.from_regex(r"[A-Za-z0-9_.-]{1,63}", fullmatch=True))
    return rule


def _is_multicast(peer: Json) -> bool:
    block = peer.get("ipBlock")
    return isinstance(block, dict) and ip_network(block["cidr"]).is_multicast


@st.composite
def policies(
    draw: st.DrawFn, tiers: Sequence[str] = tuple(RESERVED_TIERS), named: st.SearchStrategy[str] = names
) -> ClusterNetworkPolicy:
    """Draw a policy in one of the tiers, or without a tier, with any appliedTo."""
    tier = draw(st.none() | st.sampled_from(tuple(tiers)))
    actions = ("Allow", "Drop", "Reject", *(() if tier == BASELINE_TIER else ("Pass",)))
    ingress = draw(st.lists(rules("ingress", actions), max_size=2))
    egress = draw(st.lists(rules("egress", actions), max_size=2))
    rule_names = draw(st.lists(_rule_names, min_size=4, max_size=4, unique=True))
    for rule, name in zip((*ingress, *egress), rule_names, strict=False):
        if draw(st.booleans()):
            rule["name"] = name
    applied = st.lists(_applied, min_size=1, max_size=2)
    rule_by_rule = draw(st.booleans())
    spec: Json = {"priority": draw(st.sampled_from((1, 5, 5.5, 10000))), "ingress": ingress, "egress": egress}
    if rule_by_rule and (ingress or egress):
        for rule in (*ingress, *egress):
            rule["appliedTo"] = draw(applied)
    else:
        spec["appliedTo"] = draw(applied)
    if tier is not None:
        spec["tier"] = tier
    return ClusterNetworkPolicy.model_validate(
        _document("ClusterNetworkPolicy", _CRD, {"name": draw(named), "labels": draw(labels)}, spec=spec)
    )


_CRD = "crd.antrea.io/v1beta1"


def _document(kind: str, version: str, metadata: Json, **rest: object) -> Json:
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


@st.composite
def groups(draw: st.DrawFn, named: st.SearchStrategy[str] = names, children: Sequence[str] = ()) -> ClusterGroup:
    """Draw a group; with ``children``, it has one or two of them as child groups."""
    sources: list[st.SearchStrategy[Json]] = [
        _pods,
        st.fixed_dictionaries({"nodeSelector": label_selectors()}),
        st.fixed_dictionaries({"ipBlocks": st.lists(ip_blocks(), min_size=1, max_size=2)}),
        st.fixed_dictionaries({"serviceReference": _accounts}),
    ]
    if children:
        some = st.lists(st.sampled_from(tuple(children)), min_size=1, max_size=2, unique=True)
        sources = [st.fixed_dictionaries({"childGroups": some})]
    metadata: Json = {"name": draw(named), "labels": draw(labels)}
    return ClusterGroup.model_validate(_document("ClusterGroup", _CRD, metadata, spec=draw(st.one_of(sources))))


@st.composite
def namespaces(draw: st.DrawFn, named: st.SearchStrategy[str] = names) -> Namespace:
    """Draw a namespace."""
    return Namespace.model_validate(_document("Namespace", "v1", {"name": draw(named), "labels": draw(labels)}))


@st.composite
def _namespaced(draw: st.DrawFn, named: st.SearchStrategy[str]) -> Json:
    return {"name": draw(named), "namespace": draw(st.sampled_from(("default", "shop"))), "labels": draw(labels)}


@st.composite
def pods(draw: st.DrawFn, named: st.SearchStrategy[str] = names) -> Pod:
    """Draw a Pod with addresses of both families, in any phase."""
    spec: Json = {"hostNetwork": draw(st.booleans()), "serviceAccountName": draw(names)}
    addresses = draw(st.lists(st.ip_addresses().map(str), max_size=2))
    phase = draw(st.sampled_from(("Pending", "Running", "Succeeded", "Failed", "Unknown")))
    status = {"phase": phase, "podIPs": [{"ip": address} for address in addresses]}
    return Pod.model_validate(_document("Pod", "v1", draw(_namespaced(named)), spec=spec, status=status))


@st.composite
def services(draw: st.DrawFn, named: st.SearchStrategy[str] = names) -> Service:
    """Draw a Service with or without a selector."""
    return Service.model_validate(_document("Service", "v1", draw(_namespaced(named)), spec={"selector": draw(labels)}))


@st.composite
def endpoint_slices(draw: st.DrawFn, named: st.SearchStrategy[str] = names) -> EndpointSlice:
    """Draw an EndpointSlice of either family, or of host names."""
    metadata = draw(_namespaced(named))
    kind = draw(st.sampled_from(("IPv4", "IPv6", "FQDN")))
    hosts: st.SearchStrategy[str] = names
    if kind != "FQDN":
        hosts = st.ip_addresses(v=4 if kind == "IPv4" else 6).map(str)
    endpoints = [{"addresses": some} for some in draw(st.lists(st.lists(hosts, min_size=1, max_size=2), max_size=2))]
    metadata["labels"] = {"kubernetes.io/service-name": draw(names)}
    return EndpointSlice.model_validate(
        _document("EndpointSlice", "discovery.k8s.io/v1", metadata, addressType=kind, endpoints=endpoints)
    )


@st.composite
def tiers(draw: st.DrawFn) -> Tier:
    """Draw a tier that is not reserved."""
    name = draw(names.filter(lambda text: text not in RESERVED_TIERS))
    priority = draw(st.sampled_from(_free_tier_priorities))
    return Tier.model_validate(
        {
            "apiVersion": "crd.antrea.io/v1beta1",
            "kind": "Tier",
            "metadata": {"name": name},
            "spec": {"priority": priority, "description": draw(st.text(max_size=10))},
        }
    )


@st.composite
def nodes(draw: st.DrawFn, named: st.SearchStrategy[str] = names) -> Node:
    """Draw a Node with addresses of both families, and a host name."""
    kinds = st.sampled_from(("InternalIP", "ExternalIP"))
    numbers = draw(st.lists(st.tuples(kinds, st.ip_addresses()), max_size=3))
    addresses: list[Json] = [{"type": kind, "address": str(address)} for kind, address in numbers]
    name = draw(named)
    return Node.model_validate(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": draw(labels)},
            "spec": {"podCIDRs": [str(network) for network in draw(st.lists(networks(), max_size=2))]},
            "status": {"addresses": [*addresses, {"type": "Hostname", "address": name}]},
        }
    )


@st.composite
def clusters(draw: st.DrawFn) -> tuple[ClusterObject, ...]:
    """Draw objects that can be declared together, in any order."""
    unique_tiers = st.lists(
        tiers(), max_size=min(4, MAX_TIERS), unique_by=(lambda t: t.metadata.name, lambda t: t.spec.priority)
    )
    some_tiers = draw(unique_tiers)
    tier_names = (*RESERVED_TIERS, *(tier.metadata.name for tier in some_tiers))
    some_groups = draw(st.lists(groups(), max_size=2, unique_by=key_of))
    leaves = (*(group.metadata.name for group in some_groups), "missing")
    parents = groups(named=st.sampled_from(("parent-1", "parent-2")), children=leaves)
    rest: Sequence[tuple[st.SearchStrategy[ClusterObject], int]] = (
        (policies(tier_names), 3), (nodes(), 3), (parents, 2), (namespaces(), 2), (pods(), 2), (services(), 2),
        (endpoint_slices(), 2),
    )  # fmt: skip
    others = [item for some, most in rest for item in draw(st.lists(some, max_size=most, unique_by=key_of))]
    return tuple(draw(st.permutations([*some_tiers, *some_groups, *others])))


objects: st.SearchStrategy[ClusterObject] = st.one_of(
    policies(),
    tiers(),
    nodes(),
    groups(),
    groups(children=("missing",)),
    namespaces(),
    pods(),
    services(),
    endpoint_slices(),
)
"""Strategy for a single object of any kind."""
