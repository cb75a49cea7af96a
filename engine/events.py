"""What happened: bodies as a discriminated union, each in its envelope, each envelope chained to the one before.

Input events carry what was declared or observed, outcome events what nodewall did. A body's ``type`` and ``version``
name its schema for good: a changed schema gets a new version and an upcaster, never a rewritten log.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from engine.bodies import Body
from engine.config import RecordedConfiguration
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
    key_of,
)
from engine.outcomes import LogCompacted, OnNode, Outcome
from engine.upcasting import UPCASTERS, FutureVersion, Plain, Upcasters, upcast

GENESIS = "0" * 64
"""What the first event names as the hash of the event before it."""


class Deletion(Body):
    """An object of ``kind`` is gone; ``name`` is ``namespace/name`` for what lives in a namespace."""

    kind: ClassVar[str]
    name: str


class PolicyDeclared(Body):
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


class TierDeclared(Body):
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


class GroupDeclared(Body):
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


class NodeObserved(Body):
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


class NamespaceObserved(Body):
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


class PodObserved(Body):
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


class ServiceObserved(Body):
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


class EndpointSliceObserved(Body):
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


class ConfigDeclared(Body):
    """The nodes are to be managed by this configuration."""

    type: Literal["config.declared"] = "config.declared"
    config: RecordedConfiguration


class HostObserved(Body):
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


class ObjectRefused(Body):
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

Gone = (
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
    Declaration | Gone | ConfigDeclared | HostObserved | ObjectRefused | Outcome,
    Field(discriminator="type"),
]

_BODY = TypeAdapter[EventBody](EventBody)

_VERSIONS: dict[str, int] = {
    kind.model_fields["type"].default: kind.model_fields["version"].default for kind in get_args(get_args(EventBody)[0])
}
"""Type of body -> the version of it that is known."""


class Event(BaseModel):
    """One entry of the log: its place, time (UTC), id (UUIDv7), source, body, and the links of the hash chain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sequence: Annotated[int, Field(ge=1)]
    time: AwareDatetime
    id: str
    source: str
    body: EventBody
    previous: str
    hash: str = ""

    def sealed(self) -> "Event":
        """Return the event with its own hash."""
        return self.model_copy(update={"hash": self.digest()})

    def digest(self) -> str:
        """Return the SHA-256 of everything but the hash, in canonical JSON, as 64 hexadecimal digits."""
        return hashlib.sha256(canonical(self.as_json(with_hash=False))).hexdigest()

    def as_json(self, *, with_hash: bool = True) -> dict[str, object]:
        """Return the event as the log shows and exports it."""
        rest: dict[str, object] = {"hash": self.hash} if with_hash else {}
        return {
            "sequence": self.sequence,
            "time": timestamp(self.time),
            "id": self.id,
            "source": self.source,
            "type": self.body.type,
            "body": body_as_json(self.body),
            "previous": self.previous,
            **rest,
        }


def chained(previous: str, event: Event) -> str | None:
    """Return why the event cannot follow the one whose hash is ``previous``, or None where it can."""
    if event.previous != previous:
        return "it does not follow the event before it"
    if event.digest() != event.hash:
        return "its content does not match its hash"
    return None


def canonical(value: object) -> bytes:
    """Return the one JSON text of a value: keys sorted, no white space, UTF-8."""
    return _encode(value).encode()


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def timestamp(time: datetime) -> str:
    """Return the time as RFC 3339 in UTC with microseconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def body_as_json(body: EventBody) -> dict[str, object]:
    """Return a body as plain JSON values: absent fields left out, so that a new optional one changes no hash."""
    plain: dict[str, object] = _BODY.dump_python(body, mode="json", by_alias=True, exclude_none=True)
    return plain


def body_from_json(text: str | bytes, upcasters: Upcasters = UPCASTERS) -> EventBody:
    """Return the body that JSON text holds, of whatever version.

    Raises:
        FutureVersion: a newer nodewall wrote it.
        pydantic.ValidationError: it holds none.
    """
    try:
        return _BODY.validate_json(text)
    except ValidationError:
        # Bodies of older versions are rare, so all are tried as they are.
        older = _older(text, upcasters)
        if older is None:
            raise
        return _BODY.validate_json(canonical(older))


def _older(text: str | bytes, upcasters: Upcasters) -> Plain | None:
    """Return what a body of an older version is now, None where it is none of one."""
    try:
        body = json.loads(text)
        now = upcast(body, _VERSIONS.get(body["type"], 0), upcasters)
    except FutureVersion as error:
        if error.known:
            raise
        return None  # of a type that is not known
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return None if now is body else now


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


def deleted(kind: str, name: str) -> Gone:
    """Return the event that says the object of that kind and key is gone."""
    bodies: tuple[type[Gone], ...] = (
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


def subject(body: EventBody) -> str:
    """Return what an event is about, as ``kind/name``."""
    match body:
        case ConfigDeclared():
            return "Configuration"
        case LogCompacted():
            return "Log"
        case OnNode() | HostObserved():
            return f"Node/{body.node}"
        case ObjectRefused() | Deletion():
            return f"{body.kind}/{body.name}"
        case _:
            return f"{body.object.kind}/{key_of(body.object)}"
