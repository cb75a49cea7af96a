"""Describes which value of the cluster state an event changes, with the values before and after.

A value is found by a kind and a key, such as kind Pod and key ``default/web``. Besides objects, a state has five more
kinds, such as outcomes of applies. Input: event bodies. Output: an :class:`Assignment` from the body alone; or a
:class:`StateChange`, to which :func:`engine.state.fold.effect_of` adds the previous value. No function raises.
"""

from dataclasses import dataclass
from typing import NamedTuple, assert_never

from engine.events.outcomes import (
    ApplyConfirmed,
    ApplyFailed,
    ApplyProposed,
    DriftRepaired,
    LogCompacted,
    NodeOutcome,
    RulesetApplied,
)
from engine.events.types import (
    ConfigDeclared,
    Deletion,
    EndpointSliceObserved,
    EventBody,
    GroupDeclared,
    HostObserved,
    NamespaceObserved,
    NodeObserved,
    ObjectRefused,
    PodObserved,
    PolicyDeclared,
    ServiceObserved,
    TierDeclared,
)
from engine.objects import ClusterObject, key_of
from engine.objects.config import Configuration

CONFIGURATION = "Configuration"
"""Kind of the configuration; its key is empty."""

HOST = "Host"
"""Kind of host facts; the key is a node."""

REFUSAL = "Refusal"
"""Kind of refusals; the key is the refused object's ``kind/name``."""

OUTCOME = "Outcome"
"""Kind of apply outcomes; the key is a node."""

PROPOSAL = "Proposal"
"""Kind of applies that have begun and not ended; the key is a node."""

Value = ClusterObject | Configuration | HostObserved | ObjectRefused | RulesetApplied | ApplyFailed | ApplyProposed


class Assignment(NamedTuple):
    """The place of a state that an event writes, and the new value there; None deletes it."""

    kind: str
    key: str
    value: Value | None


@dataclass(frozen=True, slots=True)
class StateChange:
    """The place of a state that one event writes, and its values; None where there is no value."""

    kind: str
    key: str
    before: Value | None = None
    after: Value | None = None


def affects_rules(kind: str) -> bool:
    """Return whether rules may depend on what stands at places of a kind."""
    return kind not in {REFUSAL, OUTCOME, PROPOSAL}


def assignment_of(body: EventBody) -> Assignment | None:
    """Return what an event writes to a state, None where it writes nothing but the sequence."""
    match body:
        case (
            PolicyDeclared()
            | TierDeclared()
            | GroupDeclared()
            | NodeObserved()
            | NamespaceObserved()
            | PodObserved()
            | ServiceObserved()
            | EndpointSliceObserved()
        ):
            return Assignment(body.object.kind, key_of(body.object), body.object)
        case Deletion():
            return Assignment(body.kind, body.name, None)
        case ConfigDeclared():
            return Assignment(CONFIGURATION, "", body.config)
        case HostObserved():
            return Assignment(HOST, body.node, body)
        case ObjectRefused():
            return Assignment(REFUSAL, f"{body.kind}/{body.name}", body)
        case RulesetApplied() | ApplyFailed():
            return Assignment(OUTCOME, body.node, body)
        case ApplyProposed():
            return Assignment(PROPOSAL, body.node, body)
        case DriftRepaired():
            return Assignment(PROPOSAL, body.node, None)
        case ApplyConfirmed() | LogCompacted():
            return None
        case _:
            assert_never(body)


def subject(body: EventBody) -> str:
    """Return the object that an event is about, as ``kind/name``; what there is one of has no name."""
    if isinstance(body, NodeOutcome | HostObserved):
        return f"Node/{body.node}"
    written = assignment_of(body)
    if written is None:
        return "Log"
    return written.key if written.kind == REFUSAL else f"{written.kind}/{written.key}".rstrip("/")
