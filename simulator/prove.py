"""The lockout guard: sample packets of every lifeline must still get through what is about to be applied.

These are examples at the edges of each static rule, walked through the whole ruleset with the host's own rules in it.
"""

from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address
from itertools import product

from engine.addresses import Address, Network
from engine.rules import ANY_PORT, CompletedRule, Direction, PortRange, Protocol, Service
from engine.ruleset import Ruleset
from simulator.netfilter import Verdict, Walker
from simulator.packets import Packet

_NUMBERS = {Protocol.TCP: 6, Protocol.UDP: 17, Protocol.SCTP: 132, Protocol.ICMP: 1, Protocol.ICMPV6: 58}
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
        if (service.protocol is Protocol.ICMP and local.version == 6) or (
            service.protocol is Protocol.ICMPV6 and local.version == 4
        ):
            continue
        for peer in _peers(rule, local):
            for port in sorted(set(service.ports)) if service.icmp is None else (0,):
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
    has_ports = service.icmp is None
    return Packet(
        src=peer if arrives else local,
        dst=local if arrives else peer,
        protocol=_NUMBERS[service.protocol],
        sport=_source(service.source_ports) if has_ports else None,
        dport=port if has_ports else None,
        flags=frozenset({"SYN"}) if service.protocol is Protocol.TCP else frozenset(),
        icmp=(service.icmp[0], max(service.icmp[1], 0)) if service.icmp else None,
        in_interface=_INTERFACE if arrives else "",
        out_interface="" if arrives else _INTERFACE,
    )


def _source(ports: PortRange) -> int:
    return _EPHEMERAL if ports == ANY_PORT else ports[0]
