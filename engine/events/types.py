"""Event bodies for objects, configuration and host facts, one pydantic class per kind of change, and their union.

`EventBody` is the union of these classes and of the outcomes in :mod:`engine.events.outcomes`; the field ``type``
identifies the class. `declaration_of` and `deletion_of` build the body for an object. Raises
``pydantic.ValidationError`` for data that fits no class.
"""

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
    """An object of ``kind`` was deleted; ``name`` is ``namespace/name`` for namespaced objects."""

    kind: ClassVar[str]
    name: str


class PolicyDeclared(BaseEventBody):
    """A policy was created or changed."""

    type: Literal["policy.declared"] = "policy.declared"
    policy: ClusterNetworkPolicy

    @property
    def object(self) -> ClusterNetworkPolicy:
        """The declared policy."""
        return self.policy


class PolicyDeleted(Deletion):
    """A policy was deleted."""

    type: Literal["policy.deleted"] = "policy.deleted"
    kind: ClassVar[str] = "ClusterNetworkPolicy"


class TierDeclared(BaseEventBody):
    """A tier was created or changed."""

    type: Literal["tier.declared"] = "tier.declared"
    tier: Tier

    @property
    def object(self) -> Tier:
        """The declared tier."""
        return self.tier


class TierDeleted(Deletion):
    """A tier was deleted."""

    type: Literal["tier.deleted"] = "tier.deleted"
    kind: ClassVar[str] = "Tier"


class GroupDeclared(BaseEventBody):
    """A cluster group was created or changed."""

    type: Literal["group.declared"] = "group.declared"
    group: ClusterGroup

    @property
    def object(self) -> ClusterGroup:
        """The declared group."""
        return self.group


class GroupDeleted(Deletion):
    """A cluster group was deleted."""

    type: Literal["group.deleted"] = "group.deleted"
    kind: ClassVar[str] = "ClusterGroup"


class NodeObserved(BaseEventBody):
    """A Node was observed to be new or changed."""

    type: Literal["node.observed"] = "node.observed"
    node: Node

    @property
    def object(self) -> Node:
        """The observed Node."""
        return self.node


class NodeDeleted(Deletion):
    """A Node was deleted."""

    type: Literal["node.deleted"] = "node.deleted"
    kind: ClassVar[str] = "Node"


class NamespaceObserved(BaseEventBody):
    """A Namespace was observed to be new or changed."""

    type: Literal["namespace.observed"] = "namespace.observed"
    namespace: Namespace

    @property
    def object(self) -> Namespace:
        """The observed Namespace."""
        return self.namespace


class NamespaceDeleted(Deletion):
    """A Namespace was deleted."""

    type: Literal["namespace.deleted"] = "namespace.deleted"
    kind: ClassVar[str] = "Namespace"


class PodObserved(BaseEventBody):
    """A Pod was observed to be new or changed."""

    type: Literal["pod.observed"] = "pod.observed"
    pod: Pod

    @property
    def object(self) -> Pod:
        """The observed Pod."""
        return self.pod


class PodDeleted(Deletion):
    """A Pod was deleted."""

    type: Literal["pod.deleted"] = "pod.deleted"
    kind: ClassVar[str] = "Pod"


class ServiceObserved(BaseEventBody):
    """A Service was observed to be new or changed."""

    type: Literal["service.observed"] = "service.observed"
    service: Service

    @property
    def object(self) -> Service:
        """The observed Service."""
        return self.service


class ServiceDeleted(Deletion):
    """A Service was deleted."""

    type: Literal["service.deleted"] = "service.deleted"
    kind: ClassVar[str] = "Service"


class EndpointSliceObserved(BaseEventBody):
    """An EndpointSlice was observed to be new or changed."""

    type: Literal["endpointslice.observed"] = "endpointslice.observed"
    slice: EndpointSlice

    @property
    def object(self) -> EndpointSlice:
        """The observed EndpointSlice."""
        return self.slice


class EndpointSliceDeleted(Deletion):
    """An EndpointSlice was deleted."""

    type: Literal["endpointslice.deleted"] = "endpointslice.deleted"
    kind: ClassVar[str] = "EndpointSlice"


class ConfigDeclared(BaseEventBody):
    """The configuration of the nodes was declared."""

    type: Literal["config.declared"] = "config.declared"
    config: RecordedConfiguration


class HostObserved(BaseEventBody):
    """The network interfaces and DNS servers of a node were observed."""

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
        """Return the reason as one line, in the format of `Fault`."""
        return str(Fault(self.path, self.problem, self.expected))


class ObjectRefused(BaseEventBody):
    """A new version of an object, or its deletion, was refused; the last accepted version stays declared."""

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
"""Bodies that declare or observe an object."""

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
"""Bodies that delete an object."""

EventBody = Annotated[
    Declaration | DeletionEvent | ConfigDeclared | HostObserved | ObjectRefused | OutcomeEvent,
    Field(discriminator="type"),
]


def declaration_of(item: ClusterObject) -> Declaration:
    """Return the event that declares or observes an object."""
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


def deletion_of(kind: str, name: str) -> DeletionEvent:
    """Return the event that deletes the object of a kind and key."""
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
