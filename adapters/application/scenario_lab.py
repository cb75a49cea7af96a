"""Tests a scenario in a real kernel: sends its packets through a scratch network of network namespaces.

Input: a :class:`Scenario` (a test case) and its packets. Output: a :class:`DeliveryOutcome` (accept, drop or reject)
per packet, or None for a packet that cannot be sent.

A packet between two hosts of the scenario becomes a real connection where that is possible, which tests both
directions. Every other packet is injected at the Node, unless it is a fragment or its connection state cannot be set
up.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from adapters import wiring
from adapters.lab.netns import DeliveryOutcome, Lab, LabHost
from adapters.lab.packet_injection import InjectionRig
from adapters.netfilter.backend_name import BackendName
from adapters.system.process import SystemRunner
from engine.desired.full import desired_ruleset
from engine.reconcile.reconciler import apply_proposal, propose
from engine.rulesets.model import Family, Hook
from scenarios.case import Scenario
from simulator.guard.guard import TrustingVerifier
from simulator.packets import Address, ConnState, Packet, protocol_names, to_wire

_CONNECTABLE = {protocol_names.TCP, protocol_names.UDP}  # protocols for which a program can open a connection
_FIRST_PORT = 40000  # first source port for injected packets that name none
TIMEOUT = 0.6
"""Seconds without an answer after which a connection counts as dropped; the network is one bridge."""


@dataclass(slots=True)
class ScenarioLab:
    """Lab in which each node and host of a scenario is a network namespace."""

    lab: Lab
    node: str
    _owners: dict[Address, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._owners = {ip_address(text): host.name for host in self.lab.hosts for text in host.addresses}

    @property
    def netns(self) -> str:
        """Network namespace of the node whose rules are tested."""
        return self.lab.netns(self.node)

    def try_all(self, packets: Sequence[Packet]) -> list[DeliveryOutcome | None]:
        """Try a real connection for each packet; return the outcomes, None for packets that cannot be one."""
        tried = [index for index, packet in enumerate(packets) if self._possible(packet)]
        ways = [self._way(packets[index]) for index in tried]
        found = self.lab.connect_all(ways, timeout=TIMEOUT)
        outcomes: list[DeliveryOutcome | None] = [None] * len(packets)
        for index, outcome in zip(tried, found, strict=True):
            outcomes[index] = outcome
        return outcomes

    def _possible(self, packet: Packet) -> bool:
        """Return True if the packet can be the first of a real connection between two hosts of the lab."""
        known = packet.src in self._owners and packet.dst in self._owners and packet.sport is None
        here = {packet.in_interface, packet.out_interface} <= {"", "eth0"}
        return known and here and packet.protocol in _CONNECTABLE and packet.state is ConnState.NEW

    def _way(self, packet: Packet) -> tuple[str, str, int, int]:
        """Return source host, destination address, port and protocol of a connection."""
        return self._owners[packet.src], str(packet.dst), packet.dport or 0, packet.protocol


@contextmanager
def scenario_network(scenario: Scenario) -> Iterator[ScenarioLab]:
    """Build the network of the scenario in the block; no rules are applied on its node yet."""
    others = [LabHost(name, addresses) for name, addresses in sorted(scenario.case.hosts.items())]
    nodes = [LabHost(name, _addresses(scenario, name)) for name in sorted(scenario.state.nodes)]
    with Lab((*nodes, *others)) as lab:
        yield ScenarioLab(lab, scenario.case.node)


def _addresses(scenario: Scenario, node: str) -> tuple[str, ...]:
    return tuple(str(ip_address(a.address)) for a in scenario.state.nodes[node].status.addresses if a.is_ip)


def kernel_outcomes(
    scenario: Scenario, packets: Sequence[Packet], backend: BackendName
) -> list[DeliveryOutcome | None]:
    """Send the packets through a real kernel with the rules of the scenario, and return their outcomes.

    The outcome is None for a packet that cannot be sent.
    """
    with scenario_network(scenario) as stage:
        _enforce(scenario, stage.netns, backend)
        outcomes = stage.try_all(packets)
    rest = [index for index, outcome in enumerate(outcomes) if outcome is None]
    for index, outcome in zip(rest, _injected(scenario, [packets[index] for index in rest], backend), strict=True):
        outcomes[index] = outcome
    return outcomes


def _enforce(scenario: Scenario, netns: str, backend: BackendName) -> None:
    kernel = wiring.kernel(netns, backend)
    watch = wiring.SystemStopwatch()
    wanted = desired_ruleset(scenario.state, scenario.case.node).ruleset
    apply_proposal(propose(wanted, kernel, TrustingVerifier(), watch), kernel, watch)


def _injected(scenario: Scenario, packets: Sequence[Packet], backend: BackendName) -> list[DeliveryOutcome | None]:
    """Inject the packets and return their outcomes, None for fragments and connection states that cannot be set up."""
    if not any(map(_injectable, packets)):
        return [None] * len(packets)
    with InjectionRig(_addresses(scenario, scenario.case.node), scenario.case.interfaces) as rig:
        _enforce(scenario, rig.netns, backend)
        return [
            _judge(rig, _of_its_own(packet, number), backend) if _injectable(packet) else None
            for number, packet in enumerate(packets)
        ]


def _injectable(packet: Packet) -> bool:
    return packet.state in {ConnState.NEW, ConnState.ESTABLISHED} and not packet.fragment


def _of_its_own(packet: Packet, number: int) -> Packet:
    """Return the packet with its own source port or ICMP id if it names none, so that it starts its own flow."""
    if packet.protocol in protocol_names.PORT_PROTOCOLS:
        return packet if packet.sport is not None else replace(packet, sport=_FIRST_PORT + number)
    return packet if packet.icmp is None or packet.icmp_id is not None else replace(packet, icmp_id=number + 1)


def _judge(rig: InjectionRig, packet: Packet, backend: BackendName) -> DeliveryOutcome:
    if packet.state is ConnState.ESTABLISHED:
        _establish(rig, packet, backend)
    return _put(rig, packet)


def _put(rig: InjectionRig, packet: Packet) -> DeliveryOutcome:
    hook = Hook.INPUT if packet.in_interface else Hook.OUTPUT
    (outcome,) = rig.judge(hook, [to_wire(packet)], packet.in_interface or packet.out_interface)
    return outcome


def _establish(rig: InjectionRig, packet: Packet, backend: BackendName) -> None:
    """Establish the connection of a packet; a temporary rule before all others accepts its packets."""
    runner = SystemRunner(rig.netns)
    tables = f"{'iptables' if packet.family is Family.IPV4 else 'ip6tables'}-{backend}"
    for hook in (Hook.INPUT, Hook.OUTPUT):
        runner.run([tables, "-I", hook, "1", "-j", "ACCEPT"]).or_refused(tables)
    first = replace(
        packet,
        src=packet.dst,
        dst=packet.src,
        sport=packet.dport,
        dport=packet.sport,
        in_interface=packet.out_interface,
        out_interface=packet.in_interface,
    )
    _put(rig, replace(first, flags=frozenset({"SYN"})) if packet.protocol == protocol_names.TCP else first)
    _put(rig, replace(packet, flags=frozenset({"SYN", "ACK"})) if packet.protocol == protocol_names.TCP else packet)
    for hook in (Hook.INPUT, Hook.OUTPUT):
        runner.run([tables, "-D", hook, "1"]).or_refused(tables)
