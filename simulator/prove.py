"""The lockout guard: sample packets of every lifeline must still get through what is about to be applied.

These are examples at the edges of each static rule, walked through the whole ruleset with the host's own rules in it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv6Address, ip_address
from itertools import product

from engine.addresses import Address, Network
from engine.rules import ANY_PORT, CompletedRule, Direction, PortRange, Protocol, Service
from engine.ruleset import Ruleset
from simulator.netfilter import Verdict, Walker
from simulator.packets import Packet, names

_NUMBERS = {
    Protocol.TCP: names.TCP,
    Protocol.UDP: names.UDP,
    Protocol.SCTP: names.SCTP,
    Protocol.ICMP: names.ICMP,
    Protocol.ICMPV6: names.ICMPV6,
    Protocol.IGMP: names.IGMP,
}
_WITH_PORTS = frozenset({Protocol.TCP, Protocol.UDP, Protocol.SCTP})
_VERSIONS = {Protocol.ICMP: 4, Protocol.IGMP: 4, Protocol.ICMPV6: 6}
_ECHO = {Protocol.ICMP: (8, 0), Protocol.ICMPV6: (128, 0)}
_ALL_SYSTEMS, _QUERY = "224.0.0.1", 0x11
_EPHEMERAL = 32768
_INTERFACE = "eth0"


class LifelineVerifier:
    """Judges rulesets by sample packets of ``lifelines``, between a node's ``addresses`` and their peers."""

    def __init__(self, lifelines: Sequence[CompletedRule], addresses: Sequence[Address]) -> None:
        self._samples = [pair for rule in lifelines for pair in _samples(rule, addresses)]

    def lost(self, before: Ruleset, after: Ruleset) -> tuple[str, ...]:
        """Return the samples that get through ``before`` and not ``after``, each with its rule and who decided."""
        then, now = Walker(before), Walker(after)
        losses = []
        for rule, packet in self._samples:
            answer = now.verdict(packet)
            if answer.verdict is not Verdict.ACCEPT and then.verdict(packet).verdict is Verdict.ACCEPT:
                by = answer.decided_by
                where = f"{by.table}/{by.chain} rule {by.rule}" if by else answer.hook.value
                losses.append(f"{packet.words} ({rule.name}): {answer.verdict.value} by {where}")
        return tuple(losses)


class TrustingVerifier:
    """Finds no fault in anything: for tests, and for taking nodewall off a node."""

    def lost(self, before: Ruleset, after: Ruleset) -> tuple[str, ...]:  # noqa: ARG002 - the port's signature
        """Return nothing."""
        return ()


def _samples(rule: CompletedRule, addresses: Sequence[Address]) -> Iterator[tuple[CompletedRule, Packet]]:
    for local, service in product(addresses, rule.services):
        if _VERSIONS.get(service.protocol, local.version) != local.version:
            continue
        for peer in _peers(rule, local):
            for port in sorted(set(service.ports)) if service.protocol in _WITH_PORTS else (0,):
                yield rule, _packet(rule.direction, service, local, peer, port)


def _peers(rule: CompletedRule, local: Address) -> Iterator[Address]:
    if rule.peers is None:
        yield IPv6Address("fe80::1") if local.version == 6 else local
        return
    for block in rule.peers:
        network: Network = block.network
        if network.version == local.version and not block.excepted:
            yield network.network_address


def _packet(direction: Direction, service: Service, local: Address, peer: Address, port: int) -> Packet:
    arrives = direction is Direction.INGRESS
    packet = Packet(
        src=peer if arrives else local,
        dst=local if arrives else peer,
        protocol=_NUMBERS[service.protocol],
        in_interface=_INTERFACE if arrives else "",
        out_interface="" if arrives else _INTERFACE,
    )
    if service.protocol in _WITH_PORTS:
        flags = frozenset({"SYN"}) if service.protocol is Protocol.TCP else frozenset[str]()
        return replace(packet, sport=_source(service.source_ports), dport=port, flags=flags)
    if service.protocol is Protocol.IGMP:
        kind, group = service.igmp or (-1, "")
        return replace(packet, dst=ip_address(group or _ALL_SYSTEMS), igmp=kind if kind >= 0 else _QUERY)
    kind, code = service.icmp or _ECHO[service.protocol]
    return replace(packet, icmp=(kind, max(code, 0)))


def _source(ports: PortRange) -> int:
    return _EPHEMERAL if ports == ANY_PORT else ports[0]
