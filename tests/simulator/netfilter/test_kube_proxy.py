"""Packets to Services on their whole way through a node with kube-proxy's rules."""

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from engine.rulesets.model import Hook
from simulator.conntrack import ConnectionTracker
from simulator.context import Host, Route
from simulator.netfilter import Evaluation, Verdict, Walker
from simulator.packets import ConnState, Packet
from simulator.traversal import arrive, send
from tests.support.rulesets.saved_rulesets import ruleset_of

WALKER = Walker(ruleset_of("kube-proxy"))
HOST = Host(
    {
        "eth0": (ip_interface("192.0.2.1/24"), ip_interface("2001:db8::1/64")),
        "cni0": (ip_interface("10.244.0.1/24"), ip_interface("fd00:244::1/64")),
    },
    (Route(ip_network("0.0.0.0/0"), "eth0"), Route(ip_network("::/0"), "eth0")),
)
CLIENT, NODE = "198.51.100.7", "192.0.2.1"


def syn(src: str, dst: str, dport: int, interface: str = "eth0") -> Packet:
    """Return the first segment of a connection, as it comes in at an interface."""
    return Packet(
        src=ip_address(src),
        dst=ip_address(dst),
        protocol=6,
        sport=40000,
        dport=dport,
        flags=frozenset({"SYN"}),
        in_interface=interface,
    )


def arrived(packet: Packet, tracker: ConnectionTracker | None = None) -> Evaluation:
    """Return what becomes of a packet that arrives."""
    return arrive(WALKER, ConnectionTracker(HOST) if tracker is None else tracker, packet)


def ends(packet: Packet) -> tuple[str, int | None, str, int | None]:
    """Return where a packet is from and where it goes."""
    return str(packet.src), packet.sport, str(packet.dst), packet.dport


def test_a_node_port_leads_to_an_endpoint() -> None:
    """A packet to a NodePort is sent on to an endpoint, from the node's address in the Pods' network, and let through."""
    answer = arrived(syn(CLIENT, NODE, 30080))
    assert (answer.verdict, answer.hook) == (Verdict.ACCEPT, Hook.POSTROUTING)
    assert ends(answer.left) == ("10.244.0.1", 40000, "10.244.0.7", 8080)
    assert answer.left.mark == 0
    assert ("filter", "KUBE-FORWARD", 2) in {(step.table, step.chain, step.rule) for step in answer.trace}
    assert any("left to chance" in text for text in answer.assumptions)
    assert any("at random" in text for text in answer.assumptions)


def test_the_answer_of_an_endpoint_finds_its_way_back() -> None:
    """An endpoint's answer gets to the client from the node's address and port."""
    tracker = ConnectionTracker(HOST)
    went = arrived(syn(CLIENT, NODE, 30080), tracker).left
    back = replace(syn(str(went.dst), str(went.src), 40000, "cni0"), sport=went.dport)
    answer = arrived(replace(back, flags=frozenset({"SYN", "ACK"})), tracker)
    assert (answer.verdict, answer.left.state) == (Verdict.ACCEPT, ConnState.ESTABLISHED)
    assert ends(answer.left) == (NODE, 30080, CLIENT, 40000)
    assert answer.left.out_interface == "eth0"


def test_a_local_traffic_policy_keeps_the_client() -> None:
    """By `externalTrafficPolicy: Local` an endpoint of this node sees the client's own address."""
    answer = arrived(syn(CLIENT, NODE, 30443))
    assert ends(answer.left) == (CLIENT, 40000, "10.244.0.11", 8443)


@pytest.mark.parametrize(
    "port, verdict, chain",
    [
        (30444, Verdict.DROP, "KUBE-EXTERNAL-SERVICES"),  # endpoints, but none on this node
        (30085, Verdict.REJECT, "KUBE-EXTERNAL-SERVICES"),  # no endpoints at all
        (31443, Verdict.ACCEPT, "KUBE-NODEPORTS"),  # health check
    ],
)
def test_a_node_port_without_endpoint_is_the_nodes_own(port: int, verdict: Verdict, chain: str) -> None:
    """What no endpoint is there for stays at the node and is filtered in INPUT."""
    answer = arrived(syn(CLIENT, NODE, port))
    assert (answer.verdict, answer.hook) == (verdict, Hook.INPUT)
    assert answer.decided_by is not None
    assert answer.decided_by.chain == chain


def test_a_client_comes_back_to_its_endpoint() -> None:
    """By `sessionAffinity: ClientIP` a client that was sent to an endpoint gets to the same one again."""
    tracker = ConnectionTracker(HOST)
    packets = [replace(syn(CLIENT, NODE, 30081), sport=port) for port in (40000, 40001)]
    first, second = (arrived(packet, tracker) for packet in packets)
    assert first.left.dst == second.left.dst == ip_address("10.244.0.9")
    assert any("left to chance" in text for text in first.assumptions)
    assert not any("left to chance" in text for text in second.assumptions)


@pytest.mark.parametrize("client, verdict", [(CLIENT, Verdict.ACCEPT), ("203.0.113.7", Verdict.DROP)])
def test_a_load_balancer_knows_its_clients(client: str, verdict: Verdict) -> None:
    """`loadBalancerSourceRanges` let only those named get to an endpoint."""
    answer = arrived(syn(client, "203.0.113.84", 22))
    assert answer.verdict == verdict


def test_the_nodes_own_packets_reach_services() -> None:
    """A program of the node that connects to a cluster IP gets to an endpoint, masqueraded as it is no Pod."""
    answer = send(WALKER, ConnectionTracker(HOST), syn(NODE, "10.96.0.1", 443, ""))
    assert answer.verdict == Verdict.ACCEPT
    assert ends(answer.left) == ("10.244.0.1", 40000, "10.244.0.101", 6443)


def test_a_cluster_ip_without_endpoints_is_refused() -> None:
    """A Pod that connects to a Service without endpoints is refused."""
    answer = arrived(syn("10.244.0.5", "10.96.0.85", 80, "cni0"))
    assert (answer.verdict, answer.reject_with) == (Verdict.REJECT, "icmp-port-unreachable")


def test_ipv6_works_alike() -> None:
    """A NodePort of IPv6 leads to an endpoint of IPv6."""
    answer = arrived(syn("2001:db8:1::7", "2001:db8::1", 30022))
    assert ends(answer.left) == ("fd00:244::1", 40000, "fd00:244::e", 2222)
