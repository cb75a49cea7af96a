"""Policies. Source: Antrea's ``crd.antrea.io/v1beta1`` ClusterNetworkPolicy."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from engine.errors import shown
from engine.faults import finding
from engine.objects.base import (
    Cidr,
    CrdVersion,
    LabelSelector,
    Metadata,
    Model,
    ObjectName,
    Status,
    Text,
    Unsupported,
    refuse_unsupported,
)
from engine.objects.tier import DEFAULT_TIER, tier_name

Network = IPv4Network | IPv6Network


def _port(value: object) -> object:
    if isinstance(value, str):
        raise finding(f"found the named port {shown(value)}", "a number: nothing defines port names for a Node")
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise finding(f"found {shown(value)}", "a whole number from 1 to 65535")
    return value


def _refused_l7(value: object) -> None:
    if value is not None:
        raise finding("layer 7 rules cannot be kept on a Node", "ports or protocols, which decide at layer 4")


def _rule_name(text: str) -> str:
    # The name becomes part of a comment in the kernel, where quotes and newlines would have to be escaped.
    if not (text.isascii() and text.isprintable()) or set(text) & set("\"'\\`"):
        raise finding(f"found {shown(text)}", "printable ASCII without quotes or backslashes")
    return text


PortNumber = Annotated[int, BeforeValidator(_port)]
RuleName = Annotated[Text, Field(min_length=1, max_length=63), AfterValidator(_rule_name)]


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
        refuse_unsupported(value)
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


class PolicySpec(Model):
    """What a ClusterNetworkPolicy demands."""

    priority: Annotated[float, Field(strict=True, ge=1.0, le=10000.0)]
    tier: Annotated[ObjectName, BeforeValidator(tier_name)] = DEFAULT_TIER
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


class ClusterNetworkPolicy(Model):
    """Rules for the Nodes that ``spec.appliedTo`` selects."""

    api_version: CrdVersion
    kind: Literal["ClusterNetworkPolicy"]
    metadata: Metadata
    spec: PolicySpec
    status: Status = None
