"""A scenario's packets as real connections in a scratch network whose node runs a real kernel."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

from adapters import wiring
from adapters.kernel import Backend, NetfilterKernel
from adapters.lab import Host, Lab, Outcome
from engine.compiler import compile_rules
from engine.reconcile import propose, realize
from engine.resolve import resolve
from scenarios.case import Scenario
from simulator.packets import Address, ConnState, Packet
from simulator.prove import TrustingVerifier

_CONNECTABLE = {6, 17}  # TCP and UDP, which an ordinary program can try
TIMEOUT = 0.6
"""Seconds without an answer after which a connection counts as dropped; the network is one bridge."""


@dataclass(slots=True)
class Stage:
    """A lab in which every node and host of a scenario is a network namespace."""

    lab: Lab
    node: str
    _owners: dict[Address, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._owners = {ip_address(text): host.name for host in self.lab.hosts for text in host.addresses}

    @property
    def netns(self) -> str:
        """The network namespace of the node that is asked."""
        return self.lab.netns(self.node)

    def try_all(self, packets: Sequence[Packet]) -> list[Outcome | None]:
        """Return what becomes of a real connection for each packet, None where it cannot be one."""
        tried = [index for index, packet in enumerate(packets) if self._possible(packet)]
        ways = [self._way(packets[index]) for index in tried]
        found = self.lab.connect_all(ways, timeout=TIMEOUT)
        outcomes: list[Outcome | None] = [None] * len(packets)
        for index, outcome in zip(tried, found, strict=True):
            outcomes[index] = outcome
        return outcomes

    def _possible(self, packet: Packet) -> bool:
        known = packet.src in self._owners and packet.dst in self._owners
        return known and packet.protocol in _CONNECTABLE and packet.state is ConnState.NEW

    def _way(self, packet: Packet) -> tuple[str, str, int, int]:
        return self._owners[packet.src], str(packet.dst), packet.dport or 0, packet.protocol


@contextmanager
def staged(scenario: Scenario) -> Iterator[Stage]:
    """Build the scenario's network; nothing is in force on its node yet."""
    nodes = [
        Host(name, tuple(str(ip_address(a.address)) for a in node.status.addresses if a.is_ip))
        for name, node in sorted(scenario.state.nodes.items())
    ]
    others = [Host(name, addresses) for name, addresses in sorted(scenario.case.hosts.items())]
    with Lab((*nodes, *others)) as lab:
        yield Stage(lab, scenario.case.node)


def rehearse(scenario: Scenario, packets: Sequence[Packet], backend: Backend) -> list[Outcome | None]:
    """Return what a kernel does to the packets with the scenario's rules in force, None where it was not tried."""
    with staged(scenario) as stage:
        kernel: NetfilterKernel = wiring.kernel(stage.netns, backend)
        watch = wiring.SystemStopwatch()
        wanted = compile_rules(resolve(scenario.state, scenario.case.node))
        realize(propose(wanted, kernel, TrustingVerifier(), watch), kernel, watch)
        return stage.try_all(packets)
