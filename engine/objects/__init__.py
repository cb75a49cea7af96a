"""Kubernetes and Antrea objects, and nodewall's configuration, as pydantic models in the shape of their manifests.

Policies that use a field which nodewall does not support are refused (:data:`Unsupported`), so that no policy is
enforced in part. Core objects, such as Node and Pod, keep only the fields that nodewall reads. Raises
``pydantic.ValidationError``, converted by :mod:`engine.validation_errors`.

Sources: Antrea's ``crd.antrea.io/v1beta1`` ClusterNetworkPolicy, Tier and ClusterGroup; Kubernetes' ``v1`` Node,
Namespace, Pod and Service, ``discovery.k8s.io/v1`` EndpointSlice.
"""

from engine.objects.base import (
    Byte,
    CheckedModel,
    DeclaredModel,
    LabelSelector,
    MatchExpression,
    Metadata,
    ObjectName,
    RawFields,
    StrictText,
    ValidationFinding,
    entries,
)
from engine.objects.cluster_group import ClusterGroup, GroupSpec, ServiceReference
from engine.objects.ip_block import IPBlock
from engine.objects.node import Node, NodeAddress
from engine.objects.policy import (
    AppliedTo,
    ClusterNetworkPolicy,
    EgressRule,
    ICMPProtocol,
    IGMPProtocol,
    IngressRule,
    Peer,
    PolicyPort,
    PolicyRule,
    PolicySpec,
    RuleProtocol,
    ServiceAccount,
)
from engine.objects.tier import BASELINE_TIER, DEFAULT_TIER, RESERVED_TIERS, Tier, TierSpec
from engine.objects.workload import EndpointSlice, IPText, Namespace, Pod, Service

__all__ = [
    "BASELINE_TIER",
    "DEFAULT_TIER",
    "KINDS",
    "NAMESPACED",
    "RESERVED_TIERS",
    "AppliedTo",
    "Byte",
    "CheckedModel",
    "ClusterGroup",
    "ClusterNetworkPolicy",
    "ClusterObject",
    "DeclaredModel",
    "EgressRule",
    "EndpointSlice",
    "GroupSpec",
    "ICMPProtocol",
    "IGMPProtocol",
    "IPBlock",
    "IPText",
    "IngressRule",
    "LabelSelector",
    "MatchExpression",
    "Metadata",
    "Namespace",
    "Node",
    "NodeAddress",
    "ObjectName",
    "Peer",
    "Pod",
    "PolicyPort",
    "PolicyRule",
    "PolicySpec",
    "RawFields",
    "RuleProtocol",
    "Service",
    "ServiceAccount",
    "ServiceReference",
    "StrictText",
    "Tier",
    "TierSpec",
    "ValidationFinding",
    "entries",
    "key_of",
]

ClusterObject = Tier | Namespace | Node | Pod | Service | EndpointSlice | ClusterGroup | ClusterNetworkPolicy

KINDS: dict[str, type[ClusterObject]] = {
    "Tier": Tier,
    "Namespace": Namespace,
    "Node": Node,
    "Pod": Pod,
    "Service": Service,
    "EndpointSlice": EndpointSlice,
    "ClusterGroup": ClusterGroup,
    "ClusterNetworkPolicy": ClusterNetworkPolicy,
}
"""Kind -> model, in the order in which objects are recorded: referenced objects come first."""


NAMESPACED = frozenset({"Pod", "Service", "EndpointSlice"})
"""Kinds of namespaced objects."""


def key_of(item: ClusterObject) -> str:
    """Return the key of an object within its kind: its name, or ``namespace/name``."""
    if isinstance(item, Pod | Service | EndpointSlice):
        return f"{item.metadata.namespace}/{item.metadata.name}"
    return item.metadata.name
