"""What operators declare and clusters report, as pydantic models in the shape of their manifests.

Fields that nodewall knows but cannot honour yet are :data:`Unsupported`: they are refused where they stand, so that
no policy is ever in force with less than it says. Core objects (Node) keep the few fields that are used.

Sources: Antrea's ``crd.antrea.io/v1beta1`` ClusterNetworkPolicy and Tier, Kubernetes' ``v1`` Node.
"""

from engine.objects.base import Expression, LabelSelector, Metadata, Model, ObjectName, Text
from engine.objects.node import Node, NodeAddress
from engine.objects.policy import (
    AppliedTo,
    ClusterNetworkPolicy,
    EgressRule,
    IngressRule,
    IPBlock,
    Peer,
    PolicyRule,
    PolicySpec,
    Port,
)
from engine.objects.tier import DEFAULT_TIER, RESERVED_TIERS, Tier, TierSpec

__all__ = [
    "DEFAULT_TIER",
    "KINDS",
    "RESERVED_TIERS",
    "AppliedTo",
    "ClusterNetworkPolicy",
    "ClusterObject",
    "EgressRule",
    "Expression",
    "IPBlock",
    "IngressRule",
    "LabelSelector",
    "Metadata",
    "Model",
    "Node",
    "NodeAddress",
    "ObjectName",
    "Peer",
    "PolicyRule",
    "PolicySpec",
    "Port",
    "Text",
    "Tier",
    "TierSpec",
]

ClusterObject = ClusterNetworkPolicy | Tier | Node

KINDS: dict[str, type[ClusterNetworkPolicy | Tier | Node]] = {
    "Tier": Tier,
    "Node": Node,
    "ClusterNetworkPolicy": ClusterNetworkPolicy,
}
"""Kind -> model, in the order in which objects are recorded: what others refer to comes first."""
