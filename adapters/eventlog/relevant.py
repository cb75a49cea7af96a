"""Reads only those events of a log that can influence given packets, so that ``nodewall blame`` is fast.

Input: a log, and :class:`PacketScope` values (direction, addresses and ports of the packets). Output:
:class:`RelevantEvents`, with the cluster state at the beginning of the log and the relevant events. Most other events
are skipped after a text search in their stored JSON, without parsing. This works because the log stores JSON in one
canonical form.

For skipped events, only the place in the hash chain is verified. Raises ``LogError`` if the log cannot be read or
verified.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from engine.events import EventBody, StoredEvent
from engine.policy.completed_rules import ANY_PORT
from engine.policy.relevance import PacketScope, RelevantHistory, json_prefixes
from engine.reconcile.log_interfaces import LogReader
from engine.state.fold import ClusterState, fold_bodies

_NOBODYS = (b"apply.", b"ruleset.", b"drift.", b"object.refused", b"log.")
"""Prefixes of event types that never influence a packet."""

_SPEC = b'},"spec":{'
"""Text after the metadata of a declared object; no name or label before it can contain this text."""

_PORTS = re.compile(rb'"ports":\[([^]]*)]')
_PORT = re.compile(rb'{(?:"endPort":(\d+),)?(?:"port":(\d+),)?"protocol":"(\w+)"')
_PROTOCOLS, _NO_PROTOCOLS = b'"protocols":[', b'"protocols":[]'


@dataclass(slots=True)
class _Glance:
    """Decides from the stored text whether an event can be relevant; remembers the objects of accepted events."""

    concerns: Sequence[PacketScope]
    beginnings: tuple[bytes, ...] | None
    pods: set[bytes] = field(default_factory=set)
    policies: set[bytes] = field(default_factory=set)

    def takes(self, kind: bytes, body: bytes) -> bool:
        """Return whether the event has to be parsed."""
        match kind:
            case b"pod.observed":
                if self.beginnings is None:
                    return True
                for each in self.beginnings:  # no comprehension: this runs for nearly every event
                    if each in body:
                        self.pods.add(_named(body))
                        return True
                return bool(self.pods) and _named(body) in self.pods
            case b"pod.deleted":
                return self.beginnings is None or (bool(self.pods) and body.split(b'"', 4)[3] in self.pods)
            case b"policy.declared":
                name = _named(body)
                if self._may_match(body):
                    self.policies.add(name)
                return name in self.policies
            case _:
                return not kind.startswith(_NOBODYS)

    def has(self, kind: str, key: str) -> None:
        """Remember an object that the base of the log contains."""
        {"Pod": self.pods, "ClusterNetworkPolicy": self.policies}.get(kind, set()).add(key.encode())

    def _may_match(self, body: bytes) -> bool:
        """Return whether a policy has a rule without ports, or a rule whose ports the packets can have."""
        if body.count(_PROTOCOLS) != body.count(_NO_PROTOCOLS):
            return True
        for ports in _PORTS.findall(body):
            entries = _PORT.findall(ports)
            if not entries or any(self._means(*entry) for entry in entries):
                return True
        return False

    def _means(self, last: bytes, first: bytes, protocol: bytes) -> bool:
        low, high = (int(first), int(last or first)) if first else ANY_PORT
        return any(each.has_port(protocol.decode(), low, high) for each in self.concerns)


def _named(body: bytes) -> bytes:
    """Return the key of the object in a body, in the form of deletion events."""
    name, _, namespace = body[: body.find(_SPEC)].rpartition(b'"name":"')[2].partition(b'","namespace":"')
    return namespace[:-1] + b"/" + name if namespace else name[:-1]


@dataclass(frozen=True, slots=True)
class RelevantEvents:
    """Relevant part of a log: the state of its base, then each relevant event with its stored row."""

    start: ClusterState
    events: Iterator[tuple[StoredEvent, EventBody]]


def abridged(log: LogReader, concerns: Sequence[PacketScope], until: int | None = None) -> RelevantEvents:
    """Return the events up to a sequence that can influence the packets of the scopes.

    Raises:
        LogError: the log cannot be read, an event is out of order, or a yielded event is not as it was appended.
    """
    base = log.base(until)
    beginnings = json_prefixes(concerns)
    glance = _Glance(concerns, None if beginnings is None else tuple(each.encode() for each in sorted(beginnings)))
    told = RelevantHistory(concerns)
    start = fold_bodies(said for body in base.bodies() if (said := told.relevant_event(body)) is not None)
    for kind, key in told.told:
        glance.has(kind, key)
    return RelevantEvents(replace(start, sequence=base.mark.sequence), _events(log, glance, told, until))


def _events(
    log: LogReader, glance: _Glance, told: RelevantHistory, until: int | None
) -> Iterator[tuple[StoredEvent, EventBody]]:
    for row in log.some(glance.takes, until):
        body = told.relevant_event(log.said(row))
        if body is not None:
            yield row, body
