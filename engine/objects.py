"""What operators declare and clusters report, as pydantic models in the shape of their manifests.

Fields that nodewall knows but cannot honour yet are :data:`Unsupported`: they are refused where they stand, so that
no policy is ever in force with less than it says. Core objects (Node) keep the few fields that are used.

Sources: Antrea's ``crd.antrea.io/v1beta1`` ClusterNetworkPolicy and Tier, Kubernetes' ``v1`` Node.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from engine.errors import shown
from engine.faults import finding
from engine.selectors import Operator, Requirement, Selector, is_label_key, is_label_value, is_object_name

Network = IPv4Network | IPv6Network

RESERVED_TIERS = {
    "emergency": 50,
    "securityops": 100,
    "networkops": 150,
    "platform": 200,
    "application": 250,
    "baseline": 253,
}
"""The tiers every cluster has, with their priorities; lower is evaluated first."""

DEFAULT_TIER = "application"

_UNUSED_METADATA = frozenset(
    "annotations creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generateName generation "
    "managedFields ownerReferences resourceVersion selfLink uid".split()
)


class Model(BaseModel):
    """A frozen model with Kubernetes' camelCase names that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Observed(BaseModel):
    """A frozen part of an object that Kubernetes owns: other fields are none of nodewall's business."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


def _unsupported(value: object) -> None:
    if value is not None and value is not False:
        raise finding("not supported yet for Nodes", "a policy without it")


def _refused_l7(value: object) -> None:
    if value is not None:
        raise finding("layer 7 rules cannot be kept on a Node", "ports or protocols, which decide at layer 4")


def _object_name(text: str) -> str:
    if not is_object_name(text):
        raise finding(f"found {shown(text)}", "a DNS subdomain: lower-case letters, digits, '-' and '.'")
    return text


def _label_key(text: str) -> str:
    if not is_label_key(text):
        raise finding(f"found {shown(text)}", "a label key such as 'app' or 'example.com/app'")
    return text


def _label_value(text: str) -> str:
    if not is_label_value(text):
        raise finding(f"found {shown(text)}", "a label value: up to 63 letters, digits, '-', '_' and '.'")
    return text


def _network(text: str) -> str:
    try:
        network = ip_network(text)
    except ValueError as error:
        # The library says whether it is the address, the length or the host bits.
        raise finding(f"found {shown(text)} ({error})", "a CIDR such as 10.0.0.0/24 or 2001:db8::/64") from None
    if "/" not in text:
        raise finding(f"found {shown(text)}", f"a CIDR: {network}")
    return str(network)


def _port(value: object) -> object:
    if isinstance(value, str):
        raise finding(f"found the named port {shown(value)}", "a number: nothing defines port names for a Node")
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise finding(f"found {shown(value)}", "a whole number from 1 to 65535")
    return value


Unsupported = Annotated[None, BeforeValidator(_unsupported)]
Text = Annotated[str, Field(strict=True)]
ObjectName = Annotated[Text, AfterValidator(_object_name)]
LabelKey = Annotated[Text, AfterValidator(_label_key)]
LabelValue = Annotated[Text, AfterValidator(_label_value)]
Cidr = Annotated[Text, AfterValidator(_network)]
PortNumber = Annotated[int, BeforeValidator(_port)]
RuleName = Annotated[Text, Field(min_length=1, max_length=63)]


class Metadata(Model):
    """The object's name and labels; what else Kubernetes keeps there is dropped."""

    name: ObjectName
    labels: dict[LabelKey, LabelValue] = {}

    @model_validator(mode="before")
    @classmethod
    def _drop_unused(cls, value: object) -> object:
        if isinstance(value, dict):
            return {key: item for key, item in value.items() if key not in _UNUSED_METADATA}
        return value


class Expression(Model):
    """One requirement of a label selector."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[LabelValue, ...] = ()

    @model_validator(mode="after")
    def _values_fit(self) -> "Expression":
        wants_values = self.operator in {"In", "NotIn"}
        if wants_values and not self.values:
            raise finding(f"{self.operator} without values", "at least one value")
        if self.values and not wants_values:
            raise finding(f"{self.operator} with values", "no values")
        return self


class LabelSelector(Model):
    """A Kubernetes label selector; empty selects everything."""

    match_labels: dict[LabelKey, LabelValue] = {}
    match_expressions: tuple[Expression, ...] = ()

    def selector(self) -> Selector:
        """Return it as requirements, in an order that does not depend on how it was written."""
        labels = [Requirement(k, Operator.IN, (v,)) for k, v in self.match_labels.items()]
        others = [Requirement(e.key, Operator(e.operator), tuple(sorted(e.values))) for e in self.match_expressions]
        return Selector(tuple(sorted({*labels, *others})))


class IPBlock(Model):
    """The addresses of ``cidr`` without those of ``except``."""

    cidr: Cidr
    except_: tuple[Cidr, ...] = Field(default=(), alias="except")

    @model_validator(mode="after")
    def _excepts_inside(self) -> "IPBlock":
        outer = ip_network(self.cidr)
        for text in self.except_:
            if not _strictly_inside(ip_network(text), outer):
                raise finding(f"except {text} is not strictly inside {self.cidr}", "a smaller part of the cidr")
        return self

    @property
    def network(self) -> Network:
        """``cidr`` as a network."""
        return ip_network(self.cidr)

    @property
    def excepted(self) -> tuple[Network, ...]:
        """``except`` as networks."""
        return tuple(ip_network(text) for text in self.except_)


def _strictly_inside(inner: Network, outer: Network) -> bool:
    if isinstance(inner, IPv4Network) and isinstance(outer, IPv4Network):
        return inner != outer and inner.subnet_of(outer)
    if isinstance(inner, IPv6Network) and isinstance(outer, IPv6Network):
        return inner != outer and inner.subnet_of(outer)
    return False


def _one_of(given: Iterable[tuple[str, object]], expected: str) -> None:
    names = [name for name, value in given if value is not None]
    if len(names) != 1:
        raise finding(f"found {' and '.join(names)} together" if names else "found nothing to select by", expected)


class Peer(Model):
    """One entry of ``from`` or ``to``."""

    ip_block: IPBlock | None = None
    node_selector: LabelSelector | None = None
    pod_selector: Unsupported = None
    namespace_selector: Unsupported = None
    namespaces: Unsupported = None
    external_entity_selector: Unsupported = None
    group: Unsupported = None
    fqdn: Unsupported = None
    service_account: Unsupported = None
    node_label_selector: Unsupported = None
    scope: Unsupported = None

    @model_validator(mode="after")
    def _one_criterion(self) -> "Peer":
        _one_of((("ipBlock", self.ip_block), ("nodeSelector", self.node_selector)), "one of ipBlock, nodeSelector")
        return self


class AppliedTo(Model):
    """One entry of ``appliedTo``; those that select Pods are another data plane's."""

    node_selector: LabelSelector | None = None
    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    external_entity_selector: Unsupported = None
    group: Unsupported = None
    service: Unsupported = None
    service_account: Unsupported = None

    @model_validator(mode="after")
    def _one_kind(self) -> "AppliedTo":
        pods = self.pod_selector if self.pod_selector is not None else self.namespace_selector
        expected = "nodeSelector alone, or podSelector and namespaceSelector"
        _one_of((("nodeSelector", self.node_selector), ("a Pod selector", pods)), expected)
        return self


class Port(Model):
    """One entry of ``ports``; without ``port`` every port of the protocol."""

    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    port: PortNumber | None = None
    end_port: PortNumber | None = None
    source_port: PortNumber | None = None
    source_end_port: PortNumber | None = None

    @model_validator(mode="after")
    def _ranges(self) -> "Port":
        _range("port", self.port, "endPort", self.end_port)
        _range("sourcePort", self.source_port, "sourceEndPort", self.source_end_port)
        return self


def _range(first_name: str, first: int | None, last_name: str, last: int | None) -> None:
    if last is None:
        return
    if first is None:
        raise finding(f"{last_name} without {first_name}", f"{first_name} as well")
    if last < first:
        raise finding(f"{last_name} {last} is below {first_name} {first}", f"{last_name} from {first} to 65535")


def _action(value: object) -> object:
    if value == "Pass":
        _unsupported(value)
    return value


class PolicyRule(Model):
    """What an ingress and an egress rule share."""

    name: RuleName | None = None
    action: Annotated[Literal["Allow", "Drop", "Reject"], BeforeValidator(_action)]
    ports: tuple[Port, ...] = ()
    applied_to: Unsupported = None
    protocols: Unsupported = None
    l7_protocols: Annotated[None, BeforeValidator(_refused_l7)] = Field(default=None, alias="l7Protocols")
    enable_logging: Unsupported = None
    log_label: Unsupported = None

    @model_validator(mode="after")
    def _plain_name(self) -> "PolicyRule":
        # The name becomes part of a comment in the kernel, where quotes and newlines would have to be escaped.
        if self.name is not None and not (self.name.isascii() and self.name.isprintable() and self._unquoted()):
            raise finding(f"name: found {shown(self.name)}", "printable ASCII without quotes or backslashes")
        return self

    def _unquoted(self) -> bool:
        return self.name is None or not set(self.name) & set("\"'\\`")


class IngressRule(PolicyRule):
    """A rule for packets that arrive: ``from`` names their sources."""

    from_: tuple[Peer, ...] = Field(default=(), alias="from")

    @property
    def peers(self) -> tuple[Peer, ...]:
        """The far ends."""
        return self.from_


class EgressRule(PolicyRule):
    """A rule for packets that leave: ``to`` names their destinations."""

    to: tuple[Peer, ...] = ()
    to_services: Unsupported = None

    @property
    def peers(self) -> tuple[Peer, ...]:
        """The far ends."""
        return self.to


def _tier_name(value: object) -> object:
    # Antrea's older policies write SecurityOps for securityops.
    legacy = isinstance(value, str) and value.casefold() in RESERVED_TIERS
    return str(value).casefold() if legacy else value


class PolicySpec(Model):
    """What a ClusterNetworkPolicy demands."""

    priority: Annotated[float, Field(strict=True, ge=1.0, le=10000.0)]
    tier: Annotated[ObjectName, BeforeValidator(_tier_name)] = DEFAULT_TIER
    applied_to: Annotated[tuple[AppliedTo, ...], Field(min_length=1)]
    ingress: tuple[IngressRule, ...] = ()
    egress: tuple[EgressRule, ...] = ()

    @model_validator(mode="after")
    def _names_unique(self) -> "PolicySpec":
        names = [rule.name for rule in (*self.ingress, *self.egress) if rule.name is not None]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise finding(f"rule name {shown(twice[0])} stands {names.count(twice[0])} times", "unique rule names")
        return self


CRD_VERSION = "crd.antrea.io/v1beta1"
_CrdVersion = Annotated[
    Literal["crd.antrea.io/v1beta1"],
    BeforeValidator(lambda v: CRD_VERSION if v == "crd.antrea.io/v1alpha1" else v),
]


class ClusterNetworkPolicy(Model):
    """Rules for the Nodes that ``spec.appliedTo`` selects."""

    api_version: _CrdVersion
    kind: Literal["ClusterNetworkPolicy"]
    metadata: Metadata
    spec: PolicySpec
    status: Annotated[None, BeforeValidator(lambda _: None)] = Field(default=None, exclude=True)


def _tier_priority(value: int) -> int:
    if value in {251, 252, 254, 255}:
        raise finding(f"found {value}", "a priority other than 251, 252, 254 and 255, which are kept by the system")
    return value


class TierSpec(Model):
    """A tier's rank: lower is evaluated first."""

    priority: Annotated[int, Field(strict=True, ge=0, le=255), AfterValidator(_tier_priority)]
    description: Text = ""


class Tier(Model):
    """A rank that policies may name."""

    api_version: _CrdVersion
    kind: Literal["Tier"]
    metadata: Metadata
    spec: TierSpec
    status: Annotated[None, BeforeValidator(lambda _: None)] = Field(default=None, exclude=True)


class NodeAddress(Observed):
    """One of a Node's addresses, as the API reports it."""

    type: Text
    address: Text

    @model_validator(mode="after")
    def _is_address(self) -> "NodeAddress":
        if self.is_ip:
            try:
                ip_address(self.address)
            except ValueError:
                raise finding(f"found {shown(self.address)}", "an IPv4 or IPv6 address") from None
        return self

    @property
    def is_ip(self) -> bool:
        """Whether it is one that packets carry."""
        return self.type in {"InternalIP", "ExternalIP"}


class NodeStatus(Observed):
    """The part of a Node's status that is used: host names are left out."""

    addresses: tuple[NodeAddress, ...] = ()


class NodeSpec(Observed):
    """The part of a Node's spec that is used."""

    pod_cidrs: tuple[Cidr, ...] = Field(default=(), alias="podCIDRs")


class NodeMetadata(Observed):
    """A Node's name and labels."""

    name: ObjectName
    labels: dict[LabelKey, LabelValue] = {}


class Node(Observed):
    """A machine of the cluster."""

    api_version: Literal["v1"]
    kind: Literal["Node"]
    metadata: NodeMetadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


ClusterObject = ClusterNetworkPolicy | Tier | Node

KINDS: dict[str, type[ClusterNetworkPolicy | Tier | Node]] = {
    "Tier": Tier,
    "Node": Node,
    "ClusterNetworkPolicy": ClusterNetworkPolicy,
}
"""Kind -> model, in the order in which objects are recorded: what others refer to comes first."""
