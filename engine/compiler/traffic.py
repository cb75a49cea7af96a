"""Builds the iptables matches for a rule's traffic: protocols, ports, ICMP types and IGMP types.

Input: the `Traffic` values of a rule (a protocol with ports or types) and a `Family`. Output: one tuple of `Match`
values per kernel rule needed. Port ranges are merged and packed into multiport matches. A protocol that exists only in
the other family, such as ICMPv6 in IPv4, gives no rule.

Source: iptables-extensions(8), multiport, icmp, icmp6, u32.
"""

from collections.abc import Iterable, Iterator, Sequence

from engine.policy.completed_rules import ANY_PORT, PortRange, Protocol, Traffic
from engine.rulesets.model import Family, Match

Matches = tuple[Match, ...]

_MULTIPORT = 15  # ports per multiport match; a range counts as two

_PROTOCOL_FAMILY = {Protocol.ICMP: Family.IPV4, Protocol.ICMPV6: Family.IPV6, Protocol.IGMP: Family.IPV4}

_IGMP_TYPE = "0x0>>0x16&0x3c@0x0>>0x18={:#x}"
"""u32 expression for the IGMP type, as iptables-save prints it: skip the IPv4 header (IHL), compare the next byte."""


def traffic_of(services: tuple[Traffic, ...], family: Family) -> Iterator[Matches]:
    """Yield the matches of each kernel rule that a rule's services need; one empty tuple means every packet."""
    if not services:
        yield ()
    for protocol in sorted({service.protocol for service in services}):
        if _PROTOCOL_FAMILY.get(protocol, family) is not family:
            continue
        ours = sorted((service for service in services if service.protocol is protocol), key=lambda each: each.order)
        match protocol:
            case Protocol.ICMP | Protocol.ICMPV6:
                yield from ((*protocol_match(protocol), *_icmp(service)) for service in ours)
            case Protocol.IGMP:
                yield from (_igmp(service) for service in ours)
            case Protocol.TCP | Protocol.UDP | Protocol.SCTP:
                yield from ((*protocol_match(protocol), *ports) for ports in _port_matches(protocol, ours))


def protocol_match(protocol: Protocol) -> Matches:
    """Return the match on a protocol."""
    return (Match("", "protocol", (protocol.value,)),)


def _icmp(service: Traffic) -> Matches:
    if service.icmp is None:
        return ()
    kind, code = service.icmp
    value = str(kind) if code < 0 else f"{kind}/{code}"
    module = "icmp" if service.protocol is Protocol.ICMP else "icmp6"
    return (Match(module, "icmp-type" if module == "icmp" else "icmpv6-type", (value,)),)


def _igmp(service: Traffic) -> Matches:
    kind, group = service.igmp or (-1, "")
    return (
        *((Match("", "destination", (f"{group}/32",)),) if group else ()),
        *protocol_match(Protocol.IGMP),
        *((Match("u32", "u32", (_IGMP_TYPE.format(kind),)),) if kind >= 0 else ()),
    )


def _port_matches(protocol: Protocol, services: Sequence[Traffic]) -> Iterator[Matches]:
    if any(service.ports == service.source_ports == ANY_PORT for service in services):
        yield ()
        return
    plain = _merged(service.ports for service in services if service.source_ports == ANY_PORT)
    if len(plain) == 1:
        yield (port_match(protocol, "dport", plain[0]),)
    else:
        for chunk in _chunks(plain):
            yield (Match("multiport", "dports", (",".join(_span(ports) for ports in chunk),)),)
    for service in services:
        if service.source_ports != ANY_PORT:
            sides = (("sport", service.source_ports), ("dport", service.ports))
            yield tuple(port_match(protocol, side, ports) for side, ports in sides if ports != ANY_PORT)


def _merged(ranges: Iterable[PortRange]) -> list[PortRange]:
    """Return the union of the ranges as the fewest ranges, ascending."""
    merged: list[PortRange] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def _chunks(ranges: Sequence[PortRange]) -> Iterator[list[PortRange]]:
    chunk: list[PortRange] = []
    room = _MULTIPORT
    for first, last in ranges:
        places = 1 if first == last else 2
        if places > room:
            yield chunk
            chunk, room = [], _MULTIPORT
        chunk.append((first, last))
        room -= places
    if chunk:
        yield chunk


def port_match(protocol: Protocol, side: str, ports: PortRange) -> Match:
    """Return the match on a port range; ``side`` is ``dport`` or ``sport``."""
    return Match(protocol.value, side, (_span(ports),))


def _span(ports: PortRange) -> str:
    first, last = ports
    return str(first) if first == last else f"{first}:{last}"
