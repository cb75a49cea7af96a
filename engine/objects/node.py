"""Nodes: the few fields that are used. Source: Kubernetes' ``v1`` Node."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from engine.errors import shown
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
from engine.validation_errors import finding

_CARRIED = ("InternalIP", "ExternalIP")


class NodeAddress(CrossFieldModel, ObservedModel):
    """One of a Node's addresses, as the API reports it."""

    type: StrictText
    address: StrictText

    @classmethod
    def across(cls, given: RawFields) -> Iterator[ValidationFinding]:
        """Yield what says that it is an address and is none."""
        text = given.get("address")
        if given.get("type") in _CARRIED and isinstance(text, str) and address_of(text) is None:
            yield ("address",), finding(f"found {shown(text)}", "an IPv4 or IPv6 address")

    @property
    def is_ip(self) -> bool:
        """Whether it is one that packets carry."""
        return self.type in _CARRIED


class NodeStatus(ObservedModel):
    """The part of a Node's status that is used: host names are left out."""

    addresses: tuple[NodeAddress, ...] = ()


class NodeSpec(ObservedModel):
    """The part of a Node's spec that is used."""

    pod_cidrs: tuple[Cidr, ...] = Field(default=(), alias="podCIDRs")


class NodeMetadata(ObservedModel):
    """A Node's name and labels."""

    name: ObjectName
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict)


class Node(ObservedModel):
    """A machine of the cluster."""

    api_version: Literal["v1"]
    kind: Literal["Node"]
    metadata: NodeMetadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()
