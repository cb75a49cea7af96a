"""Hypothesis strategies for what operators declare, over all of the language that nodewall supports."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from hypothesis import strategies as st

from engine.intake import MAX_TIERS
from engine.objects import RESERVED_TIERS, ClusterNetworkPolicy, ClusterObject, Node, Tier

Json = dict[str, object]

LABEL_KEYS = ("app", "zone", "example.com/role", "node-role.kubernetes.io/control-plane")
LABEL_VALUES = ("", "a", "b", "edge-1", "x.y_z")
"""Few of each, so that selectors and labels often meet."""

names = st.from_regex(r"[a-z][a-z0-9]{0,4}(?:-[a-z0-9]{1,3})?", fullmatch=True)
"""Names of objects."""

labels = st.dictionaries(st.sampled_from(LABEL_KEYS), st.sampled_from(LABEL_VALUES), max_size=3)
"""Labels of an object, which are matchLabels of a selector as well."""

_free_tier_priorities = sorted(set(range(251)) - set(RESERVED_TIERS.values()))
_rule_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 _.:/-]{0,20}", fullmatch=True)
_ports = st.sampled_from((1, 22, 80, 443, 6443, 10250, 65535)) | st.integers(1, 65535)


@st.composite
def networks(draw: st.DrawFn, min_prefix: int = 0) -> IPv4Network | IPv6Network:
    """Draw a network of either family, often a single address or everything."""
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
    """Draw an ipBlock, with exceptions where there is room for them."""
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
    """Draw a label selector, often the empty one, which selects everything."""
    return draw(
        st.fixed_dictionaries(
            {}, optional={"matchLabels": labels, "matchExpressions": st.lists(_expressions(), max_size=2)}
        )
    )


@st.composite
def port_entries(draw: st.DrawFn) -> Json:
    """Draw an entry of ports: a protocol alone, single ports, ranges, source ports."""
    entry: Json = {"protocol": draw(st.sampled_from(("TCP", "UDP", "SCTP")))}
    for first, last in (("port", "endPort"), ("sourcePort", "sourceEndPort")):
        if draw(st.booleans()):
            low = draw(_ports)
            entry[first] = low
            if draw(st.booleans()):
                entry[last] = draw(st.integers(low, 65535))
    return entry


def peers() -> st.SearchStrategy[Json]:
    """Draw an entry of from or to."""
    parts: dict[str, st.SearchStrategy[Json]] = {"ipBlock": ip_blocks(), "nodeSelector": label_selectors()}
    return st.sampled_from(sorted(parts)).flatmap(lambda key: parts[key].map(lambda part: {key: part}))


@st.composite
def rules(draw: st.DrawFn, direction: str) -> Json:
    """Draw a rule without a name for ``ingress`` or ``egress``."""
    rule: Json = {"action": draw(st.sampled_from(("Allow", "Drop", "Reject")))}
    if far := draw(st.lists(peers(), max_size=2)):
        rule["from" if direction == "ingress" else "to"] = far
    if ports := draw(st.lists(port_entries(), max_size=2)):
        rule["ports"] = ports
    return rule


@st.composite
def policies(
    draw: st.DrawFn, tiers: Sequence[str] = tuple(RESERVED_TIERS), named: st.SearchStrategy[str] = names
) -> ClusterNetworkPolicy:
    """Draw a policy for nodes, in one of the tiers."""
    ingress = draw(st.lists(rules("ingress"), max_size=2))
    egress = draw(st.lists(rules("egress"), max_size=2))
    rule_names = draw(st.lists(_rule_names, min_size=4, max_size=4, unique=True))
    for rule, name in zip((*ingress, *egress), rule_names, strict=False):
        if draw(st.booleans()):
            rule["name"] = name
    applied = st.fixed_dictionaries({"nodeSelector": label_selectors()})
    spec: Json = {
        "priority": draw(st.sampled_from((1, 5, 5.5, 10000))),
        "appliedTo": draw(st.lists(applied, min_size=1, max_size=2)),
        "ingress": ingress,
        "egress": egress,
    }
    if draw(st.booleans()):
        spec["tier"] = draw(st.sampled_from(tuple(tiers)))
    return ClusterNetworkPolicy.model_validate(
        {
            "apiVersion": "crd.antrea.io/v1beta1",
            "kind": "ClusterNetworkPolicy",
            "metadata": {"name": draw(named), "labels": draw(labels)},
            "spec": spec,
        }
    )


@st.composite
def tiers(draw: st.DrawFn) -> Tier:
    """Draw a tier that is not a reserved one."""
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
    """Draw a node with addresses of both families, host names among them."""
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
    """Draw objects that may be declared together, in any order."""
    unique_tiers = st.lists(
        tiers(), max_size=min(4, MAX_TIERS), unique_by=(lambda t: t.metadata.name, lambda t: t.spec.priority)
    )
    some_tiers = draw(unique_tiers)
    tier_names = (*RESERVED_TIERS, *(tier.metadata.name for tier in some_tiers))
    some_policies = draw(st.lists(policies(tier_names), max_size=4, unique_by=lambda p: p.metadata.name))
    some_nodes = draw(st.lists(nodes(), max_size=4, unique_by=lambda n: n.metadata.name))
    return tuple(draw(st.permutations([*some_tiers, *some_nodes, *some_policies])))


objects: st.SearchStrategy[ClusterObject] = st.one_of(policies(), tiers(), nodes())
"""Any one object."""
