"""A packet's whole way through a node: hooks in the kernel's order, with conntrack, translation and routing."""

from dataclasses import replace
from ipaddress import ip_interface, ip_network

import pytest

from engine.rulesets.model import Hook, Ruleset
from engine.rulesets.text import parse_tables
from simulator.conntrack import ConnectionTracker
from simulator.context import Host, Route
from simulator.netfilter import Evaluation, Verdict, Walker
from simulator.packets import Packet, from_wire, to_wire
from simulator.traversal import arrive, send
from tests.support.packets.packet_builders import packet

NODE = Host(
    {"eth0": (ip_interface("192.0.2.2/24"),), "cni0": (ip_interface("10.1.0.1/24"),)},
    (Route(ip_network("0.0.0.0/0"), "eth0"),),
)
POD, NODE_PORT = "10.1.0.7", 30080
KUBE_PROXY = f"""
*nat
:PREROUTING ACCEPT
:INPUT ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
:SERVICES -
:MARK-MASQ -
:POD -
-A PREROUTING -j SERVICES
-A OUTPUT -j SERVICES
-A SERVICES -p tcp -m addrtype --dst-type LOCAL -m tcp --dport {NODE_PORT} -j POD
-A POD -j MARK-MASQ
-A POD -p tcp -j DNAT --to-destination {POD}:8080
-A MARK-MASQ -j MARK --or-mark 0x4000
-A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE
COMMIT
*filter
:INPUT DROP
:FORWARD DROP
:OUTPUT ACCEPT
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -d {POD}/32 -o cni0 -p tcp -m tcp --dport 8080 -j ACCEPT
COMMIT
"""
CLIENT = f"src=203.0.113.5 dst=192.0.2.2 proto=tcp sport=40000 dport={NODE_PORT} in=eth0 flags=SYN"


def walker(rules: str = "") -> Walker:
    """The simulator of rules as iptables-save prints them."""
    return Walker(Ruleset(ipv4=parse_tables(rules)))


def ends(answer: Evaluation) -> tuple[str, int | None, str, int | None]:
    """Source and destination of a packet as it left."""
    left = answer.left
    return str(left.src), left.sport, str(left.dst), left.dport


def test_a_packet_to_a_node_port_is_judged_in_forward_as_what_it_was_rewritten_to() -> None:
    """DNAT comes before routing and filtering, MASQUERADE after, and the answer is rewritten back to the client."""
    rules, tracker = walker(KUBE_PROXY), ConnectionTracker(NODE)
    there = arrive(rules, tracker, packet(base=CLIENT))
    back = packet(base=f"src={POD} dst=10.1.0.1 proto=tcp sport=8080 dport=40000 in=cni0 flags=SYN,ACK")
    answer = arrive(rules, tracker, back)

    assert (there.verdict, there.hook, there.left.out_interface) == (Verdict.ACCEPT, Hook.POSTROUTING, "cni0")
    assert ends(there) == ("10.1.0.1", 40000, POD, 8080)
    assert there.decided_by is not None
    assert (there.decided_by.chain, there.decided_by.rule) == ("FORWARD", 2)
    assert there.left.ttl == 63
    assert (answer.verdict, answer.left.out_interface) == (Verdict.ACCEPT, "eth0")
    assert ends(answer) == ("192.0.2.2", NODE_PORT, "203.0.113.5", 40000)


def test_a_packet_to_another_port_of_the_node_is_judged_in_input() -> None:
    """What no rule rewrites stays for the node."""
    found = arrive(walker(KUBE_PROXY), ConnectionTracker(NODE), packet("dport=22", CLIENT))
    assert (found.verdict, found.hook) == (Verdict.DROP, Hook.INPUT)


def test_an_error_about_a_translated_packet_is_related_and_rewritten_with_what_it_quotes() -> None:
    """An ICMP error from behind the translation reaches the client, about the packet that the client knows."""
    rules, tracker = walker(KUBE_PROXY), ConnectionTracker(NODE)
    sent = arrive(rules, tracker, packet(base=CLIENT)).left
    error = packet("icmp=3/1", f"src={POD} dst=10.1.0.1 in=cni0")
    found = arrive(rules, tracker, replace(error, inner=replace(sent, wire=None)))

    assert (found.verdict, str(found.left.state), str(found.left.dst)) == (Verdict.ACCEPT, "RELATED", "203.0.113.5")
    assert found.left.inner is not None
    assert (str(found.left.inner.src), str(found.left.inner.dst), found.left.inner.dport) == (
        "203.0.113.5",
        "192.0.2.2",
        NODE_PORT,
    )


def test_a_fragment_without_ports_is_invalid() -> None:
    """A later fragment by itself belongs to no connection, so no rule translates it."""
    found = arrive(
        walker(KUBE_PROXY), ConnectionTracker(NODE), packet(base="src=203.0.113.5 dst=192.0.2.2 proto=tcp fragment=yes")
    )
    assert (str(found.left.state), found.hook, str(found.left.dst)) == ("INVALID", Hook.INPUT, "192.0.2.2")


@pytest.mark.parametrize("ttl,lost", [(1, True), (2, False)])
def test_the_last_hop_is_not_forwarded(ttl: int, *, lost: bool) -> None:
    """A packet whose hop limit is used up ends before FORWARD."""
    found = arrive(
        walker(),
        ConnectionTracker(NODE),
        packet(f"ttl={ttl}", "src=203.0.113.5 dst=10.1.0.9 proto=udp sport=1 dport=2"),
    )
    assert (found.verdict is Verdict.DROP) is lost


def test_what_is_redirected_to_the_node_itself_comes_in_again_by_lo() -> None:
    """OUTPUT rewrites to 127.0.0.1, POSTROUTING and then PREROUTING and INPUT of lo follow, as one connection."""
    rules = "*nat\n:OUTPUT ACCEPT\n-A OUTPUT -p udp -j REDIRECT --to-ports 5353\nCOMMIT\n"
    found = send(
        walker(rules), ConnectionTracker(NODE), packet(base="src=192.0.2.2 dst=8.8.8.8 proto=udp sport=999 dport=53")
    )
    assert (found.hook, ends(found)) == (Hook.INPUT, ("192.0.2.2", 999, "127.0.0.1", 5353))


@pytest.mark.parametrize(
    "loopback,ends", [("127.0.0.1", "src=203.0.113.5 dst=192.0.2.2"), ("::1", "src=fd00::5 dst=fd00::2")]
)
def test_a_loopback_address_from_outside_is_dropped(loopback: str, ends: str) -> None:
    """Routing takes a packet to an address of lo for a martian, however it got the address."""
    rules = f"*nat\n:PREROUTING ACCEPT\n-A PREROUTING -p udp -j DNAT --to-destination {loopback}\nCOMMIT\n"
    tables = parse_tables(rules)
    both = Walker(Ruleset(ipv4=tables if "." in loopback else (), ipv6=tables if ":" in loopback else ()))
    found = arrive(both, ConnectionTracker(NODE), packet(base=f"{ends} proto=udp sport=1 dport=2 in=eth0"))
    assert found.verdict is Verdict.DROP
    assert found.decided_by is None
    assert found.assumptions[-1].startswith("routing: ")


RESET = "*filter\n:FORWARD ACCEPT\n-A FORWARD -m mark --mark 1 -j REJECT --reject-with tcp-reset\nCOMMIT\n"


def test_a_connection_that_a_rule_resets_is_closed() -> None:
    """REJECT by an RST closes a known connection in conntrack too, so that a SYN of the server is invalid then."""
    rules, tracker = walker(RESET), ConnectionTracker(NODE)
    base = "src=203.0.113.5 dst=10.1.0.7 proto=tcp sport=40000 dport=80 in=eth0"
    states = [
        str(arrive(rules, tracker, packet(words, base)).left.state)
        for words in (
            "flags=SYN",
            "flags=SYN mark=0x1",
            "src=10.1.0.7 dst=203.0.113.5 sport=80 dport=40000 in=cni0 flags=SYN",
        )
    ]
    assert states == ["NEW", "NEW", "INVALID"]


def test_translation_rewrites_the_bytes_too() -> None:
    """What leaves can be read back from its bytes."""
    wire = to_wire(packet(base=CLIENT))
    sent: Packet = from_wire(wire, in_interface="eth0")
    left = arrive(walker(KUBE_PROXY), ConnectionTracker(NODE), sent).left
    assert left.wire is not None
    again = from_wire(left.wire)
    assert (again.src, again.dst, again.dport, again.ttl) == (left.src, left.dst, left.dport, 63)
