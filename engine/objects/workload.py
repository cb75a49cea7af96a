"""Namespace, Pod, Service and EndpointSlice models, with the few fields that determine peer addresses.

Other fields are ignored. Errors: ``pydantic.ValidationError`` for invalid addresses.

Sources: Kubernetes' ``v1`` Namespace, Pod and Service, ``discovery.k8s.io/v1`` EndpointSlice.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from engine.errors import safe_text
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
from engine.validation_errors import validation_error

NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"
"""Label that every Namespace has; its value is the name."""

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
"""Label of an EndpointSlice that names its Service."""


IPText = Annotated[StrictText, AfterValidator(ip_text)]
Labels = dict[LabelKey, LabelValue]


class NamespaceMetadata(ObservedModel):
    """A Namespace's name and labels."""

    name: ObjectName
    labels: Labels = Field(default_factory=dict)


class Namespace(ObservedModel):
    """A Namespace with its labels."""

    api_version: Literal["v1"]
    kind: Literal["Namespace"]
    metadata: NamespaceMetadata

    @property
    def labels(self) -> dict[str, str]:
        """Labels, including the name label that every namespace has."""
        return {**self.metadata.labels, NAMESPACE_NAME_LABEL: self.metadata.name}


class NamespacedMetadata(ObservedModel):
    """Name, namespace and labels of a namespaced object."""

    name: ObjectName
    namespace: ObjectName = "default"
    labels: Labels = Field(default_factory=dict)


class PodIP(ObservedModel):
    """One address of a Pod."""

    ip: IPText


class PodStatus(ObservedModel):
    """Phase and addresses of a Pod."""

    phase: StrictText = "Pending"
    pod_ips: tuple[PodIP, ...] = Field(default=(), alias="podIPs")


class PodSpec(ObservedModel):
    """The fields of a Pod's spec that nodewall reads."""

    host_network: Annotated[bool, Field(strict=True)] = False
    service_account_name: StrictText = "default"


class Pod(ObservedModel):
    """A Pod with its labels, service account, phase and addresses."""

    api_version: Literal["v1"]
    kind: Literal["Pod"]
    metadata: NamespacedMetadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def peer_addresses(self) -> tuple[str, ...]:
        """Addresses that selectors resolve to: none unless the Pod runs, none for a host-network Pod."""
        if self.status.phase != "Running" or self.spec.host_network:
            return ()
        return tuple(address.ip for address in self.status.pod_ips)


class ServiceSpec(ObservedModel):
    """The fields of a Service's spec that nodewall reads."""

    selector: Labels = Field(default_factory=dict)


class Service(ObservedModel):
    """A Service: selects Pods by its selector, or else has the endpoints of its EndpointSlices."""

    api_version: Literal["v1"]
    kind: Literal["Service"]
    metadata: NamespacedMetadata
    spec: ServiceSpec = ServiceSpec()


class Endpoint(ObservedModel):
    """One endpoint; its addresses are host names in slices of type FQDN."""

    addresses: tuple[StrictText, ...] = ()


_FAMILIES: dict[str, type[IPv4Address | IPv6Address]] = {"IPv4": IPv4Address, "IPv6": IPv6Address}


class EndpointSlice(CrossFieldModel, ObservedModel):
    """Part of the endpoints of a Service."""

    api_version: Literal["discovery.k8s.io/v1"]
    kind: Literal["EndpointSlice"]
    metadata: NamespacedMetadata
    address_type: Literal["IPv4", "IPv6", "FQDN"]
    endpoints: tuple[Endpoint, ...] = ()

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield a fault for each address that is not of the slice's family."""
        kind = given.get("addressType")
        family = _FAMILIES.get(kind) if isinstance(kind, str) else None
        if family is None:
            return
        for index, endpoint in entries(given, "endpoints"):
            addresses = endpoint.get("addresses")
            for position, text in enumerate(addresses if isinstance(addresses, list | tuple) else ()):
                if isinstance(text, str) and not isinstance(address_of(text), family):
                    where = ("endpoints", index, "addresses", position)
                    yield where, validation_error(f"found {safe_text(text)}", f"an {kind} address")

    @property
    def peer_addresses(self) -> tuple[str, ...]:
        """Addresses of all endpoints; empty for host names."""
        if self.address_type not in _FAMILIES:
            return ()
        return tuple(ip_text(address) for endpoint in self.endpoints for address in endpoint.addresses)

    @property
    def service(self) -> str:
        """The Service it belongs to, as ``namespace/name``, or an empty string."""
        name = self.metadata.labels.get(SERVICE_NAME_LABEL, "")
        return f"{self.metadata.namespace}/{name}" if name else ""
