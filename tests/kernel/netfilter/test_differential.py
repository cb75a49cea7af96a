"""The kernel does to random packets in random worlds what the policies say, and the simulator of their rules.

Each world is drawn from its seed alone, over the whole language (:mod:`tests.support.policies.random_clusters`), put in force over the one before it, and asked for packets
at its own edges: addresses and ports just inside and just outside of everything that it names.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import islice

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.sctp import SCTP, SCTPChunkInit

from adapters.lab.packet_injection import InjectionRig
from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.backends import choose_backend
from adapters.system.netns_sockets import DeliveryOutcome
from adapters.system.process import SystemRunner
from engine.compiler import Layout, LayoutLimits, compile_with_limits
from engine.desired.full import DesiredRuleset, desired_ruleset
from engine.policy.completed_rules import STATIC_POLICY, CompletedRule, Direction, PortRange, Protocol
from engine.reconcile.reconciler import apply_proposal, propose
from engine.rulesets.model import Family, Hook
from engine.rulesets.text.steps import full_text
from engine.state.fold import ClusterState
from simulator.conntrack import ConnectionTracker
from simulator.guard.guard import TrustingVerifier
from simulator.netfilter import Evaluation, Verdict, Walker
from simulator.oracle import Explanation, evaluate
from simulator.packets import ConnState, Packet, protocol_names, to_wire
from tests.support.packets.refused_packets import answerable, is_error
from tests.support.policies.random_clusters import (
    ADDRESSES,
    CENTRES,
    IGMP_TYPES,
    MULTICAST,
    NODE,
    OWN,
    World,
    drawn,
    edges,
)
from tests.support.rulesets.ruleset_builders import SOAK, NullWatch, completed
from tests.support.seeds import seeded

pytestmark = pytest.mark.kernel

WORLDS = {Layout.LINEAR: 1000 if SOAK else 20, Layout.OPTIMISED: 1250 if SOAK else 20}
PACKETS = {Layout.LINEAR: 30, Layout.OPTIMISED: 25}
"""Per world and hook, of each combination of backend and family: 12,000 and 10,000 in all of them together, without soak."""

DIRECTIONS = {Hook.INPUT: Direction.INGRESS, Hook.OUTPUT: Direction.EGRESS}
NUMBERS = {Protocol.TCP: protocol_names.TCP, Protocol.UDP: protocol_names.UDP, Protocol.SCTP: protocol_names.SCTP}
ICMP_TYPES = {
    Family.IPV4: ((0, 0), (3, 1), (3, 4), (8, 0), (8, 0), (11, 0), (13, 0), (17, 0)),
    Family.IPV6: ((1, 4), (2, 0), (3, 0), (128, 0), (128, 0), (129, 0), *((kind, 0) for kind in (130, 133, 135, 143))),
}
OTHER_PROTOCOLS = {Family.IPV4: (47, 50, 89, 253), Family.IPV6: (47, 50)}
"""Without ports. In IPv6, REJECT answers only to what has a right checksum, but for these, which have none."""
FLAGS = (*(["SYN"] * 6), "ACK", "SYN ACK", "FIN ACK", "RST", "")


@dataclass(frozen=True, slots=True)
class Case:
    """A drawn world, and what its node shall have in force."""

    world: World
    state: ClusterState
    wanted: DesiredRuleset


def case(seed: str, layout: Layout) -> Case:
    """Return the world of a seed, with its rules in a layout."""
    world = drawn(seed)
    config = world.state.config.model_copy(update={"layout": layout.value.capitalize()})
    state = replace(world.state, config=config)
    wanted, few = (
        desired_ruleset(state, NODE),
        int(seed.rpartition(" ")[2]) % 2 * 8,
    )  # or everything is merged that can be
    ruleset = compile_with_limits(wanted.rules, wanted.options, LayoutLimits(few=few)).ruleset
    return Case(world, state, replace(wanted, ruleset=ruleset))


# Packets


def port_edges(ports: PortRange) -> list[int]:
    """Return the ports at the edges of a range, inside and outside."""
    first, last = ports
    return [port for port in (first - 1, first, last, last + 1) if 0 < port < 65536]


class Aim:
    """Draws packets aimed at the edges of a world, each of a flow of its own."""

    def __init__(self, found: Case, hook: Hook, family: Family) -> None:
        self._dice = seeded(f"{found.world.seed} {hook} {family}")
        self._hook, self._family = hook, family
        self._rules = [rule for rule in found.wanted.rules if rule.direction is DIRECTIONS[hook]] or [completed("none")]
        self._own = [rule for rule in self._rules if rule.policy != STATIC_POLICY]
        self._far = edges([ip_network(text) for text in CENTRES[family]], family)
        self._taken: set[object] = set()

    def packets(self) -> Iterator[Packet]:
        """Yield packets without end."""
        while True:
            packet = self._packet(
                self._dice.choice(self._own if self._own and self._dice.random() < 0.75 else self._rules)
            )
            ends = frozenset({(packet.src, packet.sport), (packet.dst, packet.dport)})
            flow = (ends, packet.protocol, packet.icmp, packet.icmp_id)
            # The reset that refuses a packet from a port to itself would look just like the packet.
            if len(ends) == 2 and flow not in self._taken:
                self._taken.add(flow)
                yield ConnectionTracker().state_of(packet)

    def _packet(self, rule: CompletedRule) -> Packet:
        """Draw a packet whose far end and ports are those of a rule, or just not."""
        blocks = rule.peers or ()
        near = [net for block in blocks for net in (block.network, *block.excepted)]
        far = self._dice.choice(edges(near, self._family) or self._far)
        width = IPv4Address if self._family is Family.IPV4 else IPv6Address
        own = self._dice.choice(sorted(address for address in map(ip_address, ADDRESSES) if isinstance(address, width)))
        arrives = self._hook is Hook.INPUT
        packet = Packet(
            src=far if arrives else own,
            dst=own if arrives else far,
            protocol=253,
            in_interface="eth0" if arrives else "",
            out_interface="" if arrives else "lo" if far in OWN else "eth0",
        )
        return self._with_payload(packet, rule)

    def _with_payload(self, packet: Packet, rule: CompletedRule) -> Packet:
        igmp = any(service.protocol is Protocol.IGMP for service in rule.services)
        if igmp and self._family is Family.IPV4 and self._dice.random() < 0.5:  # there are not many messages to draw
            return self._igmp(packet)
        if self._dice.random() < 0.1:
            length = 64 + self._dice.randrange(400)  # below 552: an ICMP error may have lowered the path's MTU to that
            return replace(packet, protocol=self._dice.choice(OTHER_PROTOCOLS[self._family]), length=length)
        aimed = [service for service in rule.services if service.protocol in NUMBERS]
        if self._dice.random() < 0.12 or (rule.services and not aimed and self._dice.random() < 0.5):
            icmp = replace(
                packet, protocol=protocol_names.ICMP_OF[self._family], icmp=self._dice.choice(ICMP_TYPES[self._family])
            )
            number = self._dice.randrange(1, 65536)
            return replace(icmp, inner=quoted(icmp, number)) if is_error(icmp) else replace(icmp, icmp_id=number)
        sources, ports = (1024, 65535), (1, 65535)
        protocol = self._dice.choice(tuple(NUMBERS.values()))
        if aimed:
            service = self._dice.choice(aimed)
            sources, ports = service.source_ports, service.ports
            protocol = NUMBERS[service.protocol] if self._dice.random() < 0.9 else protocol
        flags = frozenset(self._dice.choice(FLAGS).split()) if protocol == protocol_names.TCP else frozenset[str]()
        return replace(packet, protocol=protocol, sport=self._port(sources), dport=self._port(ports), flags=flags)

    def _igmp(self, packet: Packet) -> Packet:
        """Draw a message of a group, or rarely one that is sent to the far end itself."""
        to = packet.dst if self._dice.random() < 0.1 else ip_address(self._dice.choice(MULTICAST))
        out = "eth0" if packet.out_interface and to not in OWN else packet.out_interface
        kind = self._dice.choice((*IGMP_TYPES, 0x17))
        return replace(packet, dst=to, protocol=protocol_names.IGMP, igmp=kind, out_interface=out)

    def _port(self, ports: PortRange) -> int:
        """Draw a port at an edge of a range, or any where all are in it."""
        if ports[1] - ports[0] > 60000:
            return self._dice.randrange(1024, 65536)
        return self._dice.choice([*port_edges(ports), self._dice.randint(*ports)])


def quoted(error: Packet, number: int) -> Packet:
    """Return a packet that an ICMP error may be about, of a connection that nobody knows."""
    return Packet(src=error.dst, dst=error.src, protocol=protocol_names.UDP, sport=9, dport=number)


def wire(packet: Packet) -> bytes:
    """Return the bytes of a packet; without a chunk, conntrack finds SCTP invalid, so it begins an association."""
    if packet.protocol != protocol_names.SCTP:
        return to_wire(packet)
    header = IP if packet.family is Family.IPV4 else IPv6
    transport = SCTP(sport=packet.sport, dport=packet.dport) / SCTPChunkInit(init_tag=1)
    return bytes(header(src=str(packet.src), dst=str(packet.dst)) / transport)


# What can be seen of a verdict


def visible(answer: Evaluation, walker: Walker) -> DeliveryOutcome:
    """Return what the oracle sees of a verdict: a rejection whose answer is not sent, or not let out, is a drop."""
    packet = answer.packet
    if answer.verdict is not Verdict.REJECT:
        return DeliveryOutcome(answer.verdict.value)
    if "RST" in packet.flags or not answerable(packet):
        return DeliveryOutcome.DROP
    if answer.hook is Hook.INPUT and walker.verdict(refusal(answer), Hook.OUTPUT).verdict is not Verdict.ACCEPT:
        return DeliveryOutcome.DROP
    return DeliveryOutcome.REJECT


def refusal(answer: Evaluation) -> Packet:
    """Return the packet by which REJECT answers one that arrived: it belongs to its connection, if that has one."""
    packet = answer.packet
    back = replace(
        packet,
        src=packet.dst,
        dst=packet.src,
        in_interface="",
        out_interface="lo" if packet.src in OWN else "eth0",
        state=ConnState.RELATED if answer.tracked else ConnState.INVALID,
        length=None,
    )
    if answer.reject_with == "tcp-reset":
        return replace(back, sport=packet.dport, dport=packet.sport, flags=frozenset({"RST", "ACK"}))
    icmp = (3, 13) if packet.family is Family.IPV4 else (1, 1)
    return Packet(
        src=back.src,
        dst=back.dst,
        protocol=protocol_names.ICMP_OF[packet.family],
        icmp=icmp,
        out_interface=back.out_interface,
        state=back.state,
    )


# The test


def complaint(found: Case, before: str, said: Explanation, answers: Sequence[Evaluation], did: DeliveryOutcome) -> str:
    """Return all that is needed to see a mismatch again."""
    read_back, compiled = answers
    return "\n".join(
        (
            f"world {found.world.seed!r} (after {before!r}), {read_back.hook}: {read_back.packet.words}",
            f"kernel did: {did}",
            f"simulator says of what was read back: {read_back.verdict} by {read_back.decided_by}",
            f"simulator says of what was compiled: {compiled.verdict} by {compiled.decided_by}",
            f"the policies say: {said.verdict} by {said.decided_by}",
            *full_text(found.wanted.ruleset).values(),
        )
    )


@pytest.mark.parametrize("layout", Layout)
def test_the_kernel_does_what_policies_and_simulator_say(
    oracle: InjectionRig, backend: str, family: Family, layout: Layout
) -> None:
    """In random worlds, the kernel does to random packets what the policies say, and the simulator of their rules."""
    kernel = choose_backend(SystemRunner(oracle.netns), BackendName(backend))
    before, outcomes = "", Counter[tuple[Hook, DeliveryOutcome]]()
    for number in range(WORLDS[layout]):
        found = case(f"{backend} {family} {number}", layout)
        wanted = found.wanted.ruleset
        apply_proposal(propose(wanted, kernel, TrustingVerifier(), NullWatch()), kernel, NullWatch())
        walkers = Walker(kernel.observe()), Walker(wanted)
        for hook in DIRECTIONS:
            packets = list(islice(Aim(found, hook, family).packets(), PACKETS[layout]))
            oracle.forget()
            for packet, did in zip(packets, oracle.judge(hook, [wire(each) for each in packets]), strict=True):
                answers = [walker.verdict(packet, hook) for walker in walkers]
                said = evaluate(packet, found.state, NODE)
                says = {visible(answer, walker) for answer, walker in zip(answers, walkers, strict=True)}
                assert says == {did}, complaint(found, before, said, answers, did)
                assert said.verdict == answers[0].verdict, complaint(found, before, said, answers, did)
                assert not answers[0].assumptions
                outcomes[hook, did] += 1
        before = found.world.seed

    assert outcomes.total() == WORLDS[layout] * PACKETS[layout] * len(DIRECTIONS)
    # None of it would tell much if most packets fared alike.
    assert min(outcomes[hook, outcome] for hook in DIRECTIONS for outcome in DeliveryOutcome) > outcomes.total() // 100
