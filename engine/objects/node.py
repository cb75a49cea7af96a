"""Node model with the few fields that nodewall reads: name, labels, Pod CIDRs and addresses.

Other fields are ignored. Errors: ``pydantic.ValidationError`` for an InternalIP or ExternalIP that is not an address.
Source: Kubernetes' ``v1`` Node.
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from engine.errors import safe_text
from engine.objects.base import (
    Cidr,
    CrossFieldModel,
    LabelKey,
    LabelValue,
    ObjectName,
    ObservedModel,
    RawFields,
    StrictText,
    ValidationFinding,
    address_of,
)
from engine.validation_errors import validation_error

_CARRIED = ("InternalIP", "ExternalIP")


class NodeAddress(CrossFieldModel, ObservedModel):
    """One address of a Node, as the API reports it."""

    type: StrictText
    address: StrictText

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield a fault for an InternalIP or ExternalIP that is not an IP address."""
        text = given.get("address")
        if given.get("type") in _CARRIED and isinstance(text, str) and address_of(text) is None:
            yield ("address",), validation_error(f"found {safe_text(text)}", "an IPv4 or IPv6 address")

    @property
    def is_ip(self) -> bool:
        """Whether it is an IP address (not a host name)."""
        return self.type in _CARRIED


class NodeStatus(ObservedModel):
    """The fields of a Node's status that nodewall reads."""

    addresses: tuple[NodeAddress, ...] = ()


class NodeSpec(ObservedModel):
    """The fields of a Node's spec that nodewall reads."""

    pod_cidrs: tuple[Cidr, ...] = Field(default=(), alias="podCIDRs")


class NodeMetadata(ObservedModel):
    """Name and labels of a Node."""

    name: ObjectName
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict)


class Node(ObservedModel):
    """A machine of the cluster, as its API reports it."""

    api_version: Literal["v1"]
    kind: Literal["Node"]
    metadata: NodeMetadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()
