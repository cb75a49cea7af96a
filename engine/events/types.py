"""What events say: a discriminated union of bodies."""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.errors import Fault
from engine.events.base import BaseEventBody
from engine.events.outcomes import OutcomeEvent
from engine.objects import (
    ClusterGroup,
    ClusterNetworkPolicy,
    ClusterObject,
    EndpointSlice,
    IPText,
    Namespace,
    Node,
    ObjectName,
    Pod,
    Service,
    Tier,
)
from engine.objects.config import RecordedConfiguration


class Deletion(BaseEventBody):
    """An object of ``kind`` is gone; ``name`` is ``namespace/name`` for what lives in a namespace."""

    kind: ClassVar[str]
    name: str


class PolicyDeclared(BaseEventBody):
    """A policy was declared, new or changed."""

    type: Literal["policy.declared"] = "policy.declared"
    policy: ClusterNetworkPolicy

    @property
    def object(self) -> ClusterNetworkPolicy:
        """What was declared."""
        return self.policy


class PolicyDeleted(Deletion):
    """A policy is gone."""

    type: Literal["policy.deleted"] = "policy.deleted"
    kind: ClassVar[str] = "ClusterNetworkPolicy"


class TierDeclared(BaseEventBody):
    """A tier was declared, new or changed."""

    type: Literal["tier.declared"] = "tier.declared"
    tier: Tier

    @property
    def object(self) -> Tier:
        """What was declared."""
        return self.tier


class TierDeleted(Deletion):
    """A tier is gone."""

    type: Literal["tier.deleted"] = "tier.deleted"
    kind: ClassVar[str] = "Tier"


class GroupDeclared(BaseEventBody):
    """A group was declared, new or changed."""

    type: Literal["group.declared"] = "group.declared"
    group: ClusterGroup

    @property
    def object(self) -> ClusterGroup:
        """What was declared."""
        return self.group


class GroupDeleted(Deletion):
    """A group is gone."""

    type: Literal["group.deleted"] = "group.deleted"
    kind: ClassVar[str] = "ClusterGroup"


class NodeObserved(BaseEventBody):
    """A node was seen, new or changed."""

    type: Literal["node.observed"] = "node.observed"
    node: Node

    @property
    def object(self) -> Node:
        """What was observed."""
        return self.node


class NodeDeleted(Deletion):
    """A node is gone."""

    type: Literal["node.deleted"] = "node.deleted"
    kind: ClassVar[str] = "Node"


class NamespaceObserved(BaseEventBody):
    """A namespace was seen, new or changed."""

    type: Literal["namespace.observed"] = "namespace.observed"
    namespace: Namespace

    @property
    def object(self) -> Namespace:
        """What was observed."""
        return self.namespace


class NamespaceDeleted(Deletion):
    """A namespace is gone."""

    type: Literal["namespace.deleted"] = "namespace.deleted"
    kind: ClassVar[str] = "Namespace"


class PodObserved(BaseEventBody):
    """A pod was seen, new or changed."""

    type: Literal["pod.observed"] = "pod.observed"
    pod: Pod

    @property
    def object(self) -> Pod:
        """What was observed."""
        return self.pod


class PodDeleted(Deletion):
    """A pod is gone."""

    type: Literal["pod.deleted"] = "pod.deleted"
    kind: ClassVar[str] = "Pod"


class ServiceObserved(BaseEventBody):
    """A service was seen, new or changed."""

    type: Literal["service.observed"] = "service.observed"
    service: Service

    @property
    def object(self) -> Service:
        """What was observed."""
        return self.service


class ServiceDeleted(Deletion):
    """A service is gone."""

    type: Literal["service.deleted"] = "service.deleted"
    kind: ClassVar[str] = "Service"


class EndpointSliceObserved(BaseEventBody):
    """A part of a service's endpoints was seen, new or changed."""

    type: Literal["endpointslice.observed"] = "endpointslice.observed"
    slice: EndpointSlice

    @property
    def object(self) -> EndpointSlice:
        """What was observed."""
        return self.slice


class EndpointSliceDeleted(Deletion):
    """A part of a service's endpoints is gone."""

    type: Literal["endpointslice.deleted"] = "endpointslice.deleted"
    kind: ClassVar[str] = "EndpointSlice"


class ConfigDeclared(BaseEventBody):
    """The nodes are to be managed by this configuration."""

    type: Literal["config.declared"] = "config.declared"
    config: RecordedConfiguration


class HostObserved(BaseEventBody):
    """A node was seen to have these network interfaces and to use these DNS servers."""

    type: Literal["host.observed"] = "host.observed"
    node: ObjectName
    interfaces: tuple[str, ...] = ()
    resolvers: tuple[IPText, ...] = ()


class Refusal(BaseModel):
    """One reason why an object was refused: field path, what was found, what was expected."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str
    problem: str
    expected: str = ""

    def __str__(self) -> str:
        """Return it as one line, as the fault that it was."""
        return str(Fault(self.path, self.problem, self.expected))


class ObjectRefused(BaseEventBody):
    """A new version of an object, or a deletion, was refused; the last good version stays in force."""

    type: Literal["object.refused"] = "object.refused"
    kind: str
    name: str
    faults: tuple[Refusal, ...]


Declaration = (
    PolicyDeclared
    | TierDeclared
    | GroupDeclared
    | NodeObserved
    | NamespaceObserved
    | PodObserved
    | ServiceObserved
    | EndpointSliceObserved
)
"""An object as it was declared or observed."""

DeletionEvent = (
    PolicyDeleted
    | TierDeleted
    | GroupDeleted
    | NodeDeleted
    | NamespaceDeleted
    | PodDeleted
    | ServiceDeleted
    | EndpointSliceDeleted
)
"""An object that is no longer there."""

EventBody = Annotated[
    Declaration | DeletionEvent | ConfigDeclared | HostObserved | ObjectRefused | OutcomeEvent,
    Field(discriminator="type"),
]


def declared(item: ClusterObject) -> Declaration:
    """Return the event that says an object was declared or observed."""
    match item:
        case ClusterNetworkPolicy():
            return PolicyDeclared(policy=item)
        case Tier():
            return TierDeclared(tier=item)
        case ClusterGroup():
            return GroupDeclared(group=item)
        case Node():
            return NodeObserved(node=item)
        case Namespace():
            return NamespaceObserved(namespace=item)
        case Pod():
            return PodObserved(pod=item)
        case Service():
            return ServiceObserved(service=item)
        case EndpointSlice():
            return EndpointSliceObserved(slice=item)


def deleted(kind: str, name: str) -> DeletionEvent:
    """Return the event that says the object of that kind and key is gone."""
    bodies: tuple[type[DeletionEvent], ...] = (
        PolicyDeleted,
        TierDeleted,
        GroupDeleted,
        NodeDeleted,
        NamespaceDeleted,
        PodDeleted,
        ServiceDeleted,
        EndpointSliceDeleted,
    )
    return next(body for body in bodies if body.kind == kind)(name=name)
