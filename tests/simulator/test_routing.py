"""What routing, connections and the node's addresses do to packets between the hooks; each was learnt from a kernel."""

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from engine.rulesets.model import Ruleset
from engine.rulesets.text import parse_tables
from simulator.conntrack import ConnectionTracker
from simulator.context import Host, Route
from simulator.netfilter import Evaluation, Verdict, Walker
from simulator.traversal import arrive, send
from tests.support.packets.packet_builders import SPEC, SPEC6, packet

HOST = Host(
    {
        "eth0": (ip_interface("192.0.2.1/24"), ip_interface("2001:db8::1/64")),
        "eth1": (ip_interface("10.0.0.1/24"), ip_interface("fd00::1/64")),
        "tun0": (),
    },
    (
        Route(ip_network("0.0.0.0/0"), "eth0"),
        Route(ip_network("::/0"), "eth0"),
        Route(ip_network("0.0.0.0/0"), "tun0"),
        Route(ip_network("::/0"), "tun0"),
        Route(ip_network("10.9.0.0/16"), "tun0"),
    ),
)


def rules(table: str, *lines: str) -> Walker:
    """Return a node's rules of one table, of both families."""
    tables = parse_tables("\n".join((f"*{table}", *lines, "COMMIT")))
    return Walker(Ruleset(tables, tables))


def arrived(walker: Walker, words: str, base: str = "", tracker: ConnectionTracker | None = None) -> Evaluation:
    """Return what becomes of a packet that arrives."""
    made = packet(words, base) if base else packet(words)
    return arrive(walker, ConnectionTracker(HOST) if tracker is None else tracker, made)


@pytest.mark.parametrize("words, base, verdict", [("src=198.51.100.7 dst=10.0.0.2", "", "drop"), ("", SPEC6, "accept")])
def test_a_reverse_path_is_the_best_route_but_in_ipv6_any(words: str, base: str, verdict: str) -> None:
    """By two default routes an answer leaves by the better one, which counts in IPv4; in IPv6 the other one does too."""
    walker = rules("raw", "-A PREROUTING -m rpfilter --invert -j DROP")
    source = " src=2001:db8:7::7" if base else ""
    assert arrived(walker, f"in=tun0 {words}{source}", base).verdict == verdict


def test_what_came_to_a_group_is_not_forwarded() -> None:
    """A packet to a group that DNAT sends to one host is dropped, as its frame was not for the node alone."""
    walker = rules("nat", "-A PREROUTING -p tcp -j DNAT --to-destination 10.0.0.2")
    answer = arrived(walker, "in=eth0 src=198.51.100.7 dst=239.1.2.3")
    assert answer.verdict is Verdict.DROP
    assert "not forwarded" in answer.assumptions[-1]


def test_without_ports_two_sources_cannot_be_one() -> None:
    """Two hosts behind one address cannot both talk ESP to a third: their answers could not be told apart."""
    walker = rules("nat", "-A POSTROUTING -o eth0 -j MASQUERADE")
    tracker = ConnectionTracker(HOST)
    sent = [f"in=eth1 src=10.0.0.{last} dst=198.51.100.7 proto=esp" for last in (2, 3)]
    first, second = (arrived(walker, words, "src=10.0.0.1 dst=10.0.0.2", tracker) for words in sent)
    assert (first.verdict, second.verdict) == (Verdict.ACCEPT, Verdict.DROP)


def test_with_ports_the_second_source_gets_another() -> None:
    """Of two connections that would be the same after translation, the second gets a port that the kernel draws."""
    walker = rules("nat", "-A POSTROUTING -o eth0 -j MASQUERADE")
    tracker = ConnectionTracker(HOST)
    sent = [f"in=eth1 src=10.0.0.{last} dst=198.51.100.7" for last in (2, 3)]
    first, second = (arrived(walker, words, tracker=tracker) for words in sent)
    assert (first.verdict, second.verdict) == (Verdict.ACCEPT, Verdict.ACCEPT)
    assert "at random" in second.assumptions[-1]


@pytest.mark.parametrize(
    "words, base, source",
    [
        ("dst=10.9.0.1", "", "192.0.2.1"),  # by an interface without addresses
        ("src=10.0.0.1 dst=10.0.0.1", "", "192.0.2.1"),  # to itself
        ("src=fd00::1 dst=2001:db8::1", SPEC6, "2001:db8::1"),
    ],
)
def test_masquerading_finds_an_address(words: str, base: str, source: str) -> None:
    """An interface without addresses lends that of another; to itself an IPv6 node talks from the same address."""
    made = packet(words, base) if base else packet(words)
    answer = send(rules("nat", "-A POSTROUTING -j MASQUERADE"), ConnectionTracker(HOST), made)
    assert answer.left.src == ip_address(source)


def test_every_nth_begins_with_the_packet_that_is_named() -> None:
    """Of every three packets the first is number 0."""
    line = "-A PREROUTING -m statistic --mode nth --every 3 --packet {} -j DROP"
    for number in range(3):
        walker, tracker = rules("raw", line.format(number)), ConnectionTracker(HOST)
        sent = [replace(packet("in=eth0 dst=192.0.2.1"), sport=port) for port in range(40000, 40006)]
        dropped = [place for place, one in enumerate(sent) if arrive(walker, tracker, one).verdict is Verdict.DROP]
        assert dropped == [number, number + 3]


@pytest.mark.parametrize(
    "kind, address, held",
    [
        ("MULTICAST", "192.0.2.1", False),
        ("MULTICAST", "224.0.0.1", True),
        ("LOCAL,UNICAST,BROADCAST", "192.0.2.1", True),
        ("LOCAL", "192.0.2.1", None),
        ("LOCAL", "224.0.0.1", False),
        ("LOCAL", "127.0.0.1", True),
        ("UNICAST", "2001:db8::1", True),
        ("MULTICAST", "2001:db8::1", False),
        ("LOCAL", "2001:db8::1", None),
    ],
)
def test_some_kinds_of_addresses_need_no_node(kind: str, address: str, held: bool | None) -> None:  # noqa: FBT001 - a table
    """What kind an address is can be known of an unknown node where all that it may be gives the same answer."""
    walker = rules("filter", f"-A INPUT -m addrtype --dst-type {kind} -j DROP")
    answer = walker.verdict(packet(f"in=eth0 dst={address}", SPEC6 if ":" in address else SPEC))
    assert (answer.verdict is Verdict.DROP) is bool(held)
    assert bool(answer.assumptions) is (held is None)


@pytest.mark.parametrize(
    "words, verdict, assumed",
    [
        ("", "accept", False),
        ("state=invalid", "accept", False),
        ("state=related", "accept", True),
        ("state=established", "accept", True),
    ],
)
def test_nobody_is_expected_by_a_helper(words: str, verdict: str, assumed: bool) -> None:  # noqa: FBT001 - a table
    """No helper expects connections here; of one that is told to be there already that cannot be known."""
    answer = rules("filter", "-A INPUT -m helper --helper ftp -j DROP").verdict(packet(f"in=eth0 {words}"))
    assert (answer.verdict, bool(answer.assumptions)) == (verdict, assumed)


@pytest.mark.parametrize("policy, verdict", [("none", "drop"), ("ipsec", "accept")])
def test_a_packet_is_taken_as_not_by_ipsec(policy: str, verdict: str) -> None:
    """No packet here tells of IPsec, so it is taken as without, and the answer says so."""
    answer = rules("filter", f"-A INPUT -m policy --dir in --pol {policy} -j DROP").verdict(packet("in=eth0"))
    assert answer.verdict == verdict
    assert "IPsec is not used" in answer.assumptions[0]
