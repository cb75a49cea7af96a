"""A lab's connections fare as the rules of the kernel say, and nothing is left of a lab."""

import os

import pytest

from adapters.lab.netns import DeliveryOutcome, Lab, LabHost, _orphans
from adapters.system.process import namespaces
from engine.errors import KernelRefused
from engine.rulesets.model import Family
from tests.support.kernel.lab_access import HOSTS, Load

pytestmark = pytest.mark.kernel

TCP, UDP = 6, 17
ADDRESS = {Family.IPV4: "192.0.2.1", Family.IPV6: "2001:db8::1"}
PROHIBITED = {Family.IPV4: "icmp-admin-prohibited", Family.IPV6: "icmp6-adm-prohibited"}


def ours() -> list[str]:
    """Return the namespaces this process made; others on the machine come and go."""
    return [name for name in namespaces() if name.startswith(f"nodewall-{os.getpid()}-")]


def interrupted() -> None:
    """Press Ctrl-C while a lab is there."""
    with Lab(HOSTS) as lab:
        assert lab.netns("node-1") in namespaces()
        raise KeyboardInterrupt


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_without_rules_connections_are_accepted(lab: Lab, family: Family, protocol: int) -> None:
    """Without rules, connections are accepted."""
    with lab.listening("node-1", [(protocol, 6443)]):
        assert lab.connect("client", ADDRESS[family], 6443, protocol) is DeliveryOutcome.ACCEPT


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_connections_fare_as_the_input_rules_say(lab: Lab, load: Load, family: Family, protocol: int) -> None:
    """Connections fare as the INPUT rules say, each by its own port."""
    name = {TCP: "tcp", UDP: "udp"}[protocol]
    rules = [
        f"-A INPUT -p {name} --dport 1 -j ACCEPT",
        f"-A INPUT -p {name} --dport 2 -j DROP",
        f"-A INPUT -p {name} --dport 3 -j REJECT",
        f"-A INPUT -p {name} --dport 4 -j REJECT --reject-with {PROHIBITED[family]}",
        "-A INPUT -p tcp --dport 5 -j REJECT --reject-with tcp-reset",
    ]
    load(lab.netns("node-1"), "\n".join(rules))

    outcomes = lab.connect_all([("client", ADDRESS[family], port, protocol) for port in range(1, 6)], timeout=0.5)

    last = DeliveryOutcome.REJECT if protocol == TCP else DeliveryOutcome.ACCEPT
    assert outcomes == [
        DeliveryOutcome.ACCEPT,
        DeliveryOutcome.DROP,
        DeliveryOutcome.REJECT,
        DeliveryOutcome.REJECT,
        last,
    ]


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_connections_fare_as_the_output_rules_say(lab: Lab, load: Load, family: Family, protocol: int) -> None:
    """Connections fare as the OUTPUT rules of the host they come from say."""
    name = {TCP: "tcp", UDP: "udp"}[protocol]
    rules = [f"-A OUTPUT -p {name} --dport 1 -j DROP", f"-A OUTPUT -p {name} --dport 2 -j REJECT"]
    load(lab.netns("client"), "\n".join(rules))

    outcomes = lab.connect_all([("client", ADDRESS[family], port, protocol) for port in (1, 2)], timeout=0.5)

    assert outcomes == [DeliveryOutcome.DROP, DeliveryOutcome.REJECT]


@pytest.mark.usefixtures("kernel")
def test_nothing_is_left_of_a_lab() -> None:
    """Nothing is left of a lab, not even where the block inside it failed."""
    before = ours()

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert ours() == before


@pytest.mark.usefixtures("kernel")
def test_nothing_is_left_of_a_lab_that_could_not_be_built() -> None:
    """Nothing is left of a lab that could not be built."""
    before = ours()

    with pytest.raises(KernelRefused), Lab((LabHost("node-1", ("no address",)),)):
        pass

    assert ours() == before


def test_what_dead_processes_left_is_swept() -> None:
    """Only namespaces that bear our prefix and the number of a process that is gone are swept."""
    there = ["nodewall-4194999-0-hub", "nodewall-1-0-hub", "nodewall-x-0-hub", "other-4194999-0-hub"]
    assert _orphans(there) == ["nodewall-4194999-0-hub"]
