"""A log as far as some packets can hang on it; most events are passed over by a look at their text.

The text is the canonical JSON that logs store: keys sorted, addresses of Pods in their usual spelling, defaults written
out. What is passed over is not verified but for its place in the chain.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from engine.events import EventBody, StoredEvent
from engine.policy.completed_rules import ANY_PORT
from engine.policy.relevance import PacketScope, RelevantHistory, beginnings_of
from engine.reconcile.interfaces import LogReader
from engine.state.fold import ClusterState, evolved

_NOBODYS = (b"apply.", b"ruleset.", b"drift.", b"object.refused", b"log.")
"""How types begin on which no packet hangs."""

_SPEC = b'},"spec":{'
"""What follows the metadata of a declared object, and can stand in no name or label before it."""

_PORTS = re.compile(rb'"ports":\[([^]]*)]')
_PORT = re.compile(rb'{(?:"endPort":(\d+),)?(?:"port":(\d+),)?"protocol":"(\w+)"')
_PROTOCOLS, _NO_PROTOCOLS = b'"protocols":[', b'"protocols":[]'


@dataclass(slots=True)
class _Glance:
    """What can be seen of an event without reading it; by kind, of which objects an event was taken before."""

    concerns: Sequence[PacketScope]
    beginnings: tuple[bytes, ...] | None
    pods: set[bytes] = field(default_factory=set)
    policies: set[bytes] = field(default_factory=set)

    def takes(self, kind: bytes, body: bytes) -> bool:
        """Return whether an event has to be read."""
        match kind:
            case b"pod.observed":
                if self.beginnings is None:
                    return True
                for each in self.beginnings:  # no comprehension: this is asked of nearly every event
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
        """Take note that an object is there from the start."""
        {"Pod": self.pods, "ClusterNetworkPolicy": self.policies}.get(kind, set()).add(key.encode())

    def _may_match(self, body: bytes) -> bool:
        """Return whether a policy has a rule without ports, or one with ports of the packets."""
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
    """Return the key of the object that a body declares, as events about its end have it."""
    name, _, namespace = body[: body.find(_SPEC)].rpartition(b'"name":"')[2].partition(b'","namespace":"')
    return namespace[:-1] + b"/" + name if namespace else name[:-1]


@dataclass(frozen=True, slots=True)
class RelevantEvents:
    """What is said of some packets: the state that a log begins with, and then event by event, each as it is stored."""

    start: ClusterState
    events: Iterator[tuple[StoredEvent, EventBody]]


def abridged(log: LogReader, concerns: Sequence[PacketScope], until: int | None = None) -> RelevantEvents:
    """Return what a log says of some packets up to a sequence.

    Raises:
        LogError: the log cannot be read, an event is out of its place, or one that is yielded cannot be trusted.
    """
    base = log.base(until)
    beginnings = beginnings_of(concerns)
    glance = _Glance(concerns, None if beginnings is None else tuple(each.encode() for each in sorted(beginnings)))
    told = RelevantHistory(concerns)
    start = evolved(said for body in base.bodies() if (said := told.tells(body)) is not None)
    for kind, key in told.told:
        glance.has(kind, key)
    return RelevantEvents(replace(start, sequence=base.mark.sequence), _events(log, glance, told, until))


def _events(
    log: LogReader, glance: _Glance, told: RelevantHistory, until: int | None
) -> Iterator[tuple[StoredEvent, EventBody]]:
    for row in log.some(glance.takes, until):
        body = told.tells(log.said(row))
        if body is not None:
            yield row, body
