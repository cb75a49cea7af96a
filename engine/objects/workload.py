"""Namespaces, Pods, Services and EndpointSlices: the few fields that tell which addresses a peer means.

Sources: Kubernetes' ``v1`` Namespace, Pod and Service, ``discovery.k8s.io/v1`` EndpointSlice.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from engine.errors import shown
from engine.objects.base import (
    CrossFieldModel,
    LabelKey,
    LabelValue,
    ObjectName,
    ObservedModel,
    RawFields,
    StrictText,
    ValidationFinding,
    address_of,
    entries,
    ip_text,
)
from engine.validation_errors import finding

NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"
"""The label that every Namespace bears, with its name."""

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
"""The label by which an EndpointSlice names its Service."""


IPText = Annotated[StrictText, AfterValidator(ip_text)]
Labels = dict[LabelKey, LabelValue]


class NamespaceMetadata(ObservedModel):
    """A Namespace's name and labels."""

    name: ObjectName
    labels: Labels = Field(default_factory=dict)


class Namespace(ObservedModel):
    """A namespace of Pods."""

    api_version: Literal["v1"]
    kind: Literal["Namespace"]
    metadata: NamespaceMetadata

    @property
    def labels(self) -> dict[str, str]:
        """Its labels, with the one that every namespace has."""
        return {**self.metadata.labels, NAMESPACE_NAME_LABEL: self.metadata.name}


class NamespacedMetadata(ObservedModel):
    """The name, namespace and labels of an object that lives in a namespace."""

    name: ObjectName
    namespace: ObjectName = "default"
    labels: Labels = Field(default_factory=dict)


class PodIP(ObservedModel):
    """One of a Pod's addresses."""

    ip: IPText


class PodStatus(ObservedModel):
    """How far a Pod is, and its addresses."""

    phase: StrictText = "Pending"
    pod_ips: tuple[PodIP, ...] = Field(default=(), alias="podIPs")


class PodSpec(ObservedModel):
    """The part of a Pod's spec that is used."""

    host_network: Annotated[bool, Field(strict=True)] = False
    service_account_name: StrictText = "default"


class Pod(ObservedModel):
    """A Pod."""

    api_version: Literal["v1"]
    kind: Literal["Pod"]
    metadata: NamespacedMetadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def peer_addresses(self) -> tuple[str, ...]:
        """The addresses that peers mean by it: none unless it runs, and none of those that are its node's."""
        if self.status.phase != "Running" or self.spec.host_network:
            return ()
        return tuple(address.ip for address in self.status.pod_ips)


class ServiceSpec(ObservedModel):
    """The part of a Service's spec that is used."""

    selector: Labels = Field(default_factory=dict)


class Service(ObservedModel):
    """A Service: a name for the Pods that its selector selects, or else for the endpoints in its slices."""

    api_version: Literal["v1"]
    kind: Literal["Service"]
    metadata: NamespacedMetadata
    spec: ServiceSpec = ServiceSpec()


class Endpoint(ObservedModel):
    """One endpoint and its addresses, which are host names in slices of that type."""

    addresses: tuple[StrictText, ...] = ()


_FAMILIES: dict[str, type[IPv4Address | IPv6Address]] = {"IPv4": IPv4Address, "IPv6": IPv6Address}


class EndpointSlice(CrossFieldModel, ObservedModel):
    """Some of the endpoints of a Service."""

    api_version: Literal["discovery.k8s.io/v1"]
    kind: Literal["EndpointSlice"]
    metadata: NamespacedMetadata
    address_type: Literal["IPv4", "IPv6", "FQDN"]
    endpoints: tuple[Endpoint, ...] = ()

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield what is no address of the family it says."""
        kind = given.get("addressType")
        family = _FAMILIES.get(kind) if isinstance(kind, str) else None
        if family is None:
            return
        for index, endpoint in entries(given, "endpoints"):
            addresses = endpoint.get("addresses")
            for position, text in enumerate(addresses if isinstance(addresses, list | tuple) else ()):
                if isinstance(text, str) and not isinstance(address_of(text), family):
                    where = ("endpoints", index, "addresses", position)
                    yield where, finding(f"found {shown(text)}", f"an {kind} address")

    @property
    def peer_addresses(self) -> tuple[str, ...]:
        """The addresses of all its endpoints, none where they are host names."""
        if self.address_type not in _FAMILIES:
            return ()
        return tuple(ip_text(address) for endpoint in self.endpoints for address in endpoint.addresses)

    @property
    def service(self) -> str:
        """The Service it belongs to, as ``namespace/name``, or an empty string."""
        name = self.metadata.labels.get(SERVICE_NAME_LABEL, "")
        return f"{self.metadata.namespace}/{name}" if name else ""
