"""Nodes: the few fields that are used. Source: Kubernetes' ``v1`` Node."""

from ipaddress import ip_address
from typing import Literal

from pydantic import Field, model_validator

from engine.errors import shown
from engine.faults import finding
from engine.objects.base import Cidr, LabelKey, LabelValue, ObjectName, Observed, Text


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
    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict)


class Node(Observed):
    """A machine of the cluster."""

    api_version: Literal["v1"]
    kind: Literal["Node"]
    metadata: NodeMetadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()
