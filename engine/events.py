"""What happened: bodies as a discriminated union, each in its envelope, each envelope chained to the one before.

Input events carry what was declared or observed, outcome events what nodewall did. A body's ``type`` and ``version``
name its schema for good: a changed schema gets a new version and an upcaster, never a rewritten log.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from engine.objects import ClusterNetworkPolicy, ClusterObject, Node, Tier

GENESIS = "0" * 64
"""What the first event names as the hash of the event before it."""


class Body(BaseModel):
    """What one event says."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: Literal[1] = 1


class PolicyDeclared(Body):
    """A policy was declared, new or changed."""

    type: Literal["policy.declared"] = "policy.declared"
    policy: ClusterNetworkPolicy


class PolicyDeleted(Body):
    """A policy is no longer declared."""

    type: Literal["policy.deleted"] = "policy.deleted"
    name: str


class TierDeclared(Body):
    """A tier was declared, new or changed."""

    type: Literal["tier.declared"] = "tier.declared"
    tier: Tier


class TierDeleted(Body):
    """A tier is no longer declared."""

    type: Literal["tier.deleted"] = "tier.deleted"
    name: str


class NodeObserved(Body):
    """A node was seen, new or changed in its labels or addresses."""

    type: Literal["node.observed"] = "node.observed"
    node: Node


class NodeDeleted(Body):
    """A node left the cluster."""

    type: Literal["node.deleted"] = "node.deleted"
    name: str


class RulesetApplied(Body):
    """The state at sequence ``realized`` is in force on ``node``; ``ruleset`` is the SHA-256 of its text."""

    type: Literal["ruleset.applied"] = "ruleset.applied"
    node: str
    realized: int
    ruleset: str
    operations: int


class ApplyFailed(Body):
    """The state at sequence ``wanted`` could not be put in force on ``node``; ``words`` are the kernel's."""

    type: Literal["apply.failed"] = "apply.failed"
    node: str
    wanted: int
    words: str


EventBody = Annotated[
    PolicyDeclared
    | PolicyDeleted
    | TierDeclared
    | TierDeleted
    | NodeObserved
    | NodeDeleted
    | RulesetApplied
    | ApplyFailed,
    Field(discriminator="type"),
]

_BODY = TypeAdapter[EventBody](EventBody)


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
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def timestamp(time: datetime) -> str:
    """Return the time as RFC 3339 in UTC with microseconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def body_as_json(body: EventBody) -> dict[str, object]:
    """Return a body as plain JSON values: absent fields left out, so that a new optional one changes no hash."""
    plain: dict[str, object] = _BODY.dump_python(body, mode="json", by_alias=True, exclude_none=True)
    return plain


def body_from_json(text: str | bytes) -> EventBody:
    """Return the body that JSON text holds; raise ``pydantic.ValidationError`` where it holds none."""
    return _BODY.validate_json(text)


def declared(item: ClusterObject) -> EventBody:
    """Return the event that says an object was declared or observed."""
    match item:
        case ClusterNetworkPolicy():
            return PolicyDeclared(policy=item)
        case Tier():
            return TierDeclared(tier=item)
        case Node():
            return NodeObserved(node=item)


def deleted(kind: str, name: str) -> EventBody:
    """Return the event that says the object of that kind and name is gone."""
    bodies: dict[str, type[PolicyDeleted | TierDeleted | NodeDeleted]] = {
        "ClusterNetworkPolicy": PolicyDeleted,
        "Tier": TierDeleted,
        "Node": NodeDeleted,
    }
    return bodies[kind](name=name)


def subject(body: EventBody) -> str:
    """Return what an event is about, as ``kind/name``."""
    match body:
        case PolicyDeclared():
            return f"ClusterNetworkPolicy/{body.policy.metadata.name}"
        case TierDeclared():
            return f"Tier/{body.tier.metadata.name}"
        case NodeObserved():
            return f"Node/{body.node.metadata.name}"
        case PolicyDeleted():
            return f"ClusterNetworkPolicy/{body.name}"
        case TierDeleted():
            return f"Tier/{body.name}"
        case NodeDeleted():
            return f"Node/{body.name}"
        case RulesetApplied() | ApplyFailed():
            return f"Node/{body.node}"
