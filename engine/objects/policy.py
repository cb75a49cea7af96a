"""ClusterNetworkPolicy model with its rules, peers, ports and protocols.

Fields that a Node cannot honour are refused, with the alternative named in the fault. Errors:
``pydantic.ValidationError``. Checks that need other objects (tiers, groups) are in :mod:`engine.state.admission`.
Source: Antrea's ``crd.antrea.io/v1beta1`` ClusterNetworkPolicy.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from engine.errors import safe_text
from engine.objects.base import (
    Byte,
    CheckedModel,
    CrdVersion,
    DeclaredModel,
    LabelSelector,
    Metadata,
    ObjectName,
    RawFields,
    Status,
    StrictText,
    Unsupported,
    ValidationFinding,
    address_of,
    entries,
    given_criteria,
)
from engine.objects.ip_block import IPBlock, network_of
from engine.objects.tier import BASELINE_TIER, DEFAULT_TIER, tier_name
from engine.validation_errors import validation_error


def _port(value: object) -> object:
    if isinstance(value, str):
        raise validation_error(
            f"found the named port {safe_text(value)}", "a number: nothing defines port names for a Node"
        )
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise validation_error(f"found {safe_text(value)}", "a whole number from 1 to 65535")
    return value


def _refused_l7(value: object) -> None:
    if value is not None and value != []:
        raise validation_error("layer 7 rules cannot be kept on a Node", "ports or protocols, which decide at layer 4")


def _rule_name(text: str) -> str:
    # The name becomes part of a kernel comment, in which quotes and newlines would need escaping.
    if not (text.isascii() and text.isprintable()) or set(text) & set("\"'\\`"):
        raise validation_error(f"found {safe_text(text)}", "printable ASCII without quotes or backslashes")
    return text


_LABEL_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")

PortNumber = Annotated[int, BeforeValidator(_port)]
RuleName = Annotated[StrictText, Field(min_length=1, max_length=63), AfterValidator(_rule_name)]


def _namespaces(value: object) -> None:
    if value is not None:
        raise validation_error("a Node has no namespace that a peer's could be compared with", "namespaceSelector")


def _scope(value: object) -> object:
    if value == "ClusterSet":
        raise validation_error("ClusterSet is not supported yet for Nodes", "Cluster, or no scope")
    return value


def _group_address(text: str) -> str:
    address = address_of(text)
    if not isinstance(address, IPv4Address) or not address.is_multicast:
        raise validation_error(f"found {safe_text(text)}", "an IPv4 multicast address, in 224.0.0.0/4")
    return str(address)


def _log_label(text: str) -> str:
    if not text or len(text) > 63 or set(text) - _LABEL_CHARACTERS:
        raise validation_error(f"found {safe_text(text)}", "1 to 63 letters, digits, '-', '_' and '.'")
    return text


class ServiceAccount(DeclaredModel):
    """A service account, which stands for the Pods that run as it."""

    name: ObjectName
    namespace: ObjectName


class Peer(CheckedModel):
    """One entry of ``from`` or ``to``."""

    ip_block: IPBlock | None = None
    node_selector: LabelSelector | None = None
    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    service_account: ServiceAccount | None = None
    group: ObjectName | None = None
    namespaces: Annotated[None, BeforeValidator(_namespaces)] = None
    external_entity_selector: Unsupported = None
    fqdn: Unsupported = None
    scope: Annotated[Literal["Cluster"], BeforeValidator(_scope)] = "Cluster"

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield a fault unless there is exactly one criterion."""
        yield from _one_criterion(given, ("ipBlock", "nodeSelector", "serviceAccount", "group"), _UNSUPPORTED_CRITERIA)


class AppliedTo(CheckedModel):
    """One entry of ``appliedTo``; those that select Pods are another data plane's."""

    node_selector: LabelSelector | None = None
    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    service_account: ServiceAccount | None = None
    group: ObjectName | None = None
    external_entity_selector: Unsupported = None
    service: Unsupported = None

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield a fault unless there is exactly one criterion."""
        yield from _one_criterion(
            given, ("nodeSelector", "serviceAccount", "group"), ("externalEntitySelector", "service")
        )


_UNSUPPORTED_CRITERIA = ("namespaces", "externalEntitySelector", "fqdn")


def _one_criterion(given: RawFields, alone: tuple[str, ...], refused: tuple[str, ...]) -> Iterator[ValidationFinding]:
    names = given_criteria(given, ("podSelector", "namespaceSelector"), alone)
    # An unsupported criterion has its own fault.
    if len(names) > 1 or not (names or given_criteria(given, (), refused)):
        problem = f"found {' and '.join(names)} together" if names else "found nothing to select by"
        yield (), validation_error(problem, f"{', '.join(alone)} alone, or podSelector and namespaceSelector")


class PolicyPort(CheckedModel):
    """One entry of ``ports``; without ``port`` every port of the protocol."""

    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    port: PortNumber | None = None
    end_port: PortNumber | None = None
    source_port: PortNumber | None = None
    source_end_port: PortNumber | None = None

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield a fault for each range end without a start or below it."""
        yield from _range(given, "port", "endPort")
        yield from _range(given, "sourcePort", "sourceEndPort")


def _range(given: RawFields, first_name: str, last_name: str) -> Iterator[ValidationFinding]:
    first, last = given.get(first_name), given.get(last_name)
    if last is None:
        return
    if first is None:
        yield (), validation_error(f"{last_name} without {first_name}", f"{first_name} as well")
    elif isinstance(first, int) and isinstance(last, int) and last < first:
        yield (
            (),
            validation_error(f"{last_name} {last} is below {first_name} {first}", f"{last_name} from {first} to 65535"),
        )


class ICMPProtocol(CheckedModel):
    """ICMP and ICMPv6, or one type: below 128 of ICMP, from 128 on of ICMPv6."""

    icmp_type: Byte | None = None
    icmp_code: Byte | None = None

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield a fault for a code without a type."""
        if given.get("icmpCode") is not None and given.get("icmpType") is None:
            yield ("icmpCode",), validation_error("icmpCode without icmpType", "icmpType as well")


class IGMPProtocol(DeclaredModel):
    """IGMP, or one type of it, or what is sent to one group."""

    igmp_type: Byte | None = None
    group_address: Annotated[StrictText, AfterValidator(_group_address)] | None = None


class RuleProtocol(CheckedModel):
    """One entry of ``protocols``."""

    icmp: ICMPProtocol | None = None
    igmp: IGMPProtocol | None = None

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield a fault unless there is exactly one protocol."""
        names = given_criteria(given, (), ("icmp", "igmp"))
        if len(names) != 1:
            problem = f"found {' and '.join(names)} together" if names else "found no protocol"
            yield (), validation_error(problem, "one of icmp, igmp")


class PolicyRule(CheckedModel):
    """Common fields of ingress and egress rules."""

    name: RuleName | None = None
    action: Literal["Allow", "Drop", "Reject", "Pass"]
    ports: tuple[PolicyPort, ...] = ()
    protocols: tuple[RuleProtocol, ...] = ()
    applied_to: tuple[AppliedTo, ...] = ()
    l7_protocols: Annotated[None, BeforeValidator(_refused_l7)] = Field(default=None, alias="l7Protocols")
    enable_logging: Annotated[bool, Field(strict=True)] = False
    log_label: Annotated[StrictText, AfterValidator(_log_label)] | None = None

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield a fault for each field that cannot be combined with IGMP."""
        igmp = [index for index, item in entries(given, "protocols") if item.get("igmp") is not None]
        if not igmp:
            return
        where = ("protocols", igmp[0])
        if given.get("ports") or any(item.get("icmp") is not None for _, item in entries(given, "protocols")):
            yield where, validation_error("igmp beside other protocols", "igmp alone in its rule")
        if given.get("action") in _NOT_FOR_MULTICAST:
            yield where, validation_error(f"igmp with action {given['action']}", "Allow or Drop")


_NOT_FOR_MULTICAST = ("Pass", "Reject")


class IngressRule(PolicyRule):
    """A rule for packets that arrive: ``from`` names their sources."""

    from_: tuple[Peer, ...] = Field(default=(), alias="from")

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Peers of the rule."""
        return self.from_


class EgressRule(PolicyRule):
    """A rule for packets that leave: ``to`` names their destinations."""

    to: tuple[Peer, ...] = ()
    to_services: Unsupported = None

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Peers of the rule."""
        return self.to

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield faults about IGMP, and about multicast destinations with Pass or Reject."""
        yield from super().across(given)
        if given.get("action") not in _NOT_FOR_MULTICAST:
            return
        for index, peer in entries(given, "to"):
            block = peer.get("ipBlock")
            network = network_of(block.get("cidr")) if isinstance(block, dict) else None
            if network is not None and network.is_multicast:
                problem = f"multicast {network} with action {given['action']}"
                yield ("to", index, "ipBlock", "cidr"), validation_error(problem, "Allow or Drop")


class PolicySpec(CheckedModel):
    """What a ClusterNetworkPolicy demands."""

    priority: Annotated[float, Field(strict=True, ge=1.0, le=10000.0)]
    tier: Annotated[ObjectName, BeforeValidator(tier_name)] = DEFAULT_TIER
    applied_to: tuple[AppliedTo, ...] = ()
    ingress: tuple[IngressRule, ...] = ()
    egress: tuple[EgressRule, ...] = ()

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield faults across the rules: duplicate names, appliedTo at two levels, Pass in the baseline tier."""
        rules = [((side, index), rule) for side in ("ingress", "egress") for index, rule in entries(given, side)]
        yield from _names_unique(rules)
        yield from _applied_at_one_level(given, rules)
        if tier_name(given.get("tier")) == BASELINE_TIER:
            for where, rule in rules:
                if rule.get("action") == "Pass":
                    yield (
                        (*where, "action"),
                        validation_error("found Pass in the baseline tier", "Allow, Drop or Reject"),
                    )


_Rules = list[tuple[tuple[str, int], RawFields]]


def _names_unique(rules: _Rules) -> Iterator[ValidationFinding]:
    first: dict[str, str] = {}
    for where, rule in rules:
        name = rule.get("name")
        if isinstance(name, str):
            here = f"{where[0]}[{where[1]}]"
            if first.setdefault(name, here) != here:
                yield (
                    (*where, "name"),
                    validation_error(f"found {safe_text(name)}, the name of {first[name]}", "unique rule names"),
                )


def _applied_at_one_level(given: RawFields, rules: _Rules) -> Iterator[ValidationFinding]:
    whole = given.get("appliedTo")
    parts = [where for where, rule in rules if rule.get("appliedTo")]
    if whole:
        for where in parts:
            yield (
                (*where, "appliedTo"),
                validation_error("found appliedTo at the policy as well", "appliedTo at one level"),
            )
    elif not parts:
        yield ("appliedTo",), validation_error("missing" if whole is None else "found []", _APPLIED)
    else:
        for where, _ in rules:
            if where not in parts:
                yield (*where, "appliedTo"), validation_error("missing, while other rules have it", _APPLIED)


_APPLIED = "at least 1 entry, at the policy or at every rule"


class ClusterNetworkPolicy(DeclaredModel):
    """A policy: rules for the Nodes that ``appliedTo`` of the policy or of each rule selects."""

    api_version: CrdVersion
    kind: Literal["ClusterNetworkPolicy"]
    metadata: Metadata
    spec: PolicySpec
    status: Status = None
