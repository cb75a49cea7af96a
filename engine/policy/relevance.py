"""Filter that removes from a history the events that cannot affect given packets, so that blame reads fewer events.

Input: `PacketScope` values (packets of a node), and event bodies in order. Output per event: the same body, a deletion
of its object, or None. The filter may keep an event without effect, but never removes an event with an effect.

A policy is irrelevant if no rule can match the packets' direction, protocol, port and peer address. A Pod,
EndpointSlice or other Node is irrelevant if it has no address among the packets' peers. The event that makes a relevant
object irrelevant becomes a deletion.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from engine.events import CONFIGURATION, HOST, EventBody, Value, affects_rules, assignment_of, deletion_of
from engine.ip_types import Address
from engine.objects import (
    ClusterNetworkPolicy,
    EgressRule,
    EndpointSlice,
    IngressRule,
    Node,
    Peer,
    Pod,
)
from engine.policy.completed_rules import ANY_PORT, Direction

NumberSpan = tuple[int, int, int]
"""IP version, first and last address as integers."""

PortSpan = tuple[int, int]

_Rule = IngressRule | EgressRule

_NUMBERS = {"TCP": 6, "UDP": 17, "SCTP": 132}
_ICMP, _IGMP, _ICMPV6 = 1, 2, 58


@dataclass(frozen=True, slots=True)
class PacketScope:
    """Packets of a node: direction, peer addresses, protocols and destination ports.

    ``direction`` None means that policies never see the packets; None for protocols or ports means any.
    """

    node: str
    direction: Direction | None
    far: tuple[NumberSpan, ...]
    protocols: frozenset[int] | None = None
    ports: tuple[PortSpan, ...] | None = None

    def about(self, item: Value) -> bool:
        """Return whether an object can affect the verdicts of the packets."""
        match item:
            case ClusterNetworkPolicy():
                return any(self._may_match(rule) for rule in self._rules(item))
            case Node():
                addresses = (each.address for each in item.status.addresses if each.is_ip)
                return item.metadata.name == self.node or any(map(self._means, addresses))
            case Pod() | EndpointSlice():
                return any(map(self._means, item.peer_addresses))
            case _:
                return True

    def _rules(self, policy: ClusterNetworkPolicy) -> Sequence[_Rule]:
        match self.direction:
            case Direction.INGRESS:
                return policy.spec.ingress
            case Direction.EGRESS:
                return policy.spec.egress
            case None:
                return ()

    def _may_match(self, rule: _Rule) -> bool:
        traffic = not (rule.ports or rule.protocols) or self._has_port(rule) or self._has_protocol(rule)
        return traffic and (not rule.peers or any(map(self._may_be, rule.peers)))

    def _has_port(self, rule: _Rule) -> bool:
        for each in rule.ports:
            first, last = ANY_PORT if each.port is None else (each.port, each.end_port or each.port)
            if self.has_port(each.protocol, first, last):
                return True
        return False

    def has_port(self, protocol: str, first: int, last: int) -> bool:
        """Return whether some packets may have this protocol (policy name) and a destination port in the range."""
        if not self._has(_NUMBERS[protocol]):
            return False
        return self.ports is None or any(low <= last and first <= high for low, high in self.ports)

    def _has_protocol(self, rule: _Rule) -> bool:
        return bool(rule.protocols) and any(map(self._has, (_ICMP, _IGMP, _ICMPV6)))

    def _has(self, protocol: int) -> bool:
        return self.protocols is None or protocol in self.protocols

    def _may_be(self, peer: Peer) -> bool:
        if peer.ip_block is None:
            return True
        network = peer.ip_block.network
        first, last = int(network.network_address), int(network.broadcast_address)
        return any(version == network.version and low <= last and first <= high for version, low, high in self.far)

    def _means(self, text: str) -> bool:
        address = ip_address(text)
        number = int(address)
        return any(version == address.version and low <= number <= high for version, low, high in self.far)


@dataclass(slots=True)
class RelevantHistory:
    """Stateful filter of a history: keeps the events that can affect any of the scopes."""

    concerns: Sequence[PacketScope]
    told: set[tuple[str, str]] = field(default_factory=set)
    """Kind and key of the objects that exist in the filtered history."""

    def relevant_event(self, body: EventBody) -> EventBody | None:
        """Return the next event for the filtered history: unchanged, as a deletion, or None if it is irrelevant."""
        written = assignment_of(body)
        if written is None or not affects_rules(written.kind):
            return None
        kind, key, value = written
        if kind == CONFIGURATION:
            return body
        if kind == HOST:
            return body if any(key == each.node for each in self.concerns) else None
        if value is not None and any(each.about(value) for each in self.concerns):
            self.told.add((kind, key))
            return body
        return deletion_of(kind, key) if self._gone(kind, key) else None

    def _gone(self, kind: str, key: str) -> bool:
        if (kind, key) not in self.told:
            return False
        self.told.remove((kind, key))
        return True


def address_span(address: Address) -> NumberSpan:
    """Return one address as a span."""
    return address.version, int(address), int(address)


def json_prefixes(concerns: Iterable[PacketScope]) -> frozenset[str] | None:
    """Return JSON text prefixes that cover every usual spelling of the peer addresses, or None for any text."""
    found = {_beginning(span) for each in concerns for span in each.far}
    return None if "" in found else frozenset(found)


def _beginning(span: NumberSpan) -> str:
    """Return the common prefix of all addresses of a span, cut at a dot or colon, with the opening quote."""
    version, first, last = span
    if first == last:
        return f'"{IPv4Address(first) if version == 4 else IPv6Address(first)}"'
    length, parts, mark = (8, 4, ".") if version == 4 else (16, 8, ":")
    text = ""
    for place in range(parts - 1, -1, -1):
        low, high = (number >> place * length & (1 << length) - 1 for number in (first, last))
        if low != high or (version == 6 and not low):  # zeros may be left out
            break
        text += f"{low:d}{mark}" if version == 4 else f"{low:x}{mark}"
    return f'"{text}' if text else ""
