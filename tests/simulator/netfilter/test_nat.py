"""Which address and port a translated connection gets, next to the connections that there are."""

from ipaddress import ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.rulesets.model import Ruleset
from engine.rulesets.text import parse_tables
from simulator.conntrack import ConnectionTracker
from simulator.context import Host, Route
from simulator.netfilter import Evaluation, Verdict, Walker
from simulator.netfilter.nat_tuples import jhash2
from simulator.traversal import arrive
from tests.support.packets.packet_builders import packet

NODE = Host(
    {"eth0": (ip_interface("192.0.2.2/24"),), "eth1": (ip_interface("10.1.0.1/24"),)},
    (Route(ip_network("0.0.0.0/0"), "eth0"),),
)
DRAWN = 50_000


BASE = "src=10.1.0.5 dst=203.0.113.9 proto=udp sport=40000 dport=53 in=eth1"


def forwarded(*words: str, rules: str, draw: int = DRAWN, base: str = BASE) -> list[Evaluation]:
    """What becomes of packets from 10.1.0.x to 203.0.113.9, UDP by default, under rules of the nat table."""
    chains = ":PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT"
    walker = Walker(Ruleset(ipv4=parse_tables(f"*nat\n{chains}\n{rules}\nCOMMIT\n")))
    tracker = ConnectionTracker(NODE, draw=lambda _low, _count, _own: draw)
    return [arrive(walker, tracker, packet(each, base)) for each in words]


SNAT = "-A POSTROUTING -j SNAT --to-source 192.0.2.7"


def test_a_free_port_stays() -> None:
    """A source keeps its port where no other connection has the tuple."""
    (found,) = forwarded("", rules=SNAT)
    assert (str(found.left.src), found.left.sport, found.assumptions) == ("192.0.2.7", 40000, ())


def test_a_port_that_another_connection_has_is_replaced_by_one_that_is_drawn() -> None:
    """Two clients with one port cannot share a tuple; the answer names that the kernel draws."""
    _, found = forwarded("", "src=10.1.0.6", rules=SNAT)
    assert found.left.sport == DRAWN
    assert "draws a free port of 1024-65535" in found.assumptions[-1]


def test_even_without_a_matching_rule_a_clash_is_solved() -> None:
    """Where addresses are translated at all, a connection that takes another's answers gets a port of its own."""
    rules = "-A PREROUTING -d 192.0.2.2/32 -j DNAT --to-destination 203.0.113.9"
    _, found = forwarded("dst=192.0.2.2", "", rules=rules)
    assert found.left.sport == DRAWN


@pytest.mark.parametrize(
    "port,drawn", [(100, "1-511"), (511, "1-511"), (512, "600-1023"), (1023, "600-1023"), (1024, "1024-65535")]
)
def test_low_ports_stay_low(port: int, drawn: str) -> None:
    """The port is drawn from the kind of ports that it was."""
    _, found = forwarded(f"sport={port}", f"src=10.1.0.6 sport={port}", rules=SNAT, draw=700)
    assert f"of {drawn} at random" in found.assumptions[-1]


def test_a_source_is_mapped_as_before() -> None:
    """A source whose port was replaced keeps the replacement towards other destinations."""
    *_, found = forwarded("", "src=10.1.0.6", "src=10.1.0.6 dst=203.0.113.10", rules=SNAT)
    assert (str(found.left.src), found.left.sport) == ("192.0.2.7", DRAWN)


def test_the_identifier_of_a_query_is_replaced_too() -> None:
    """ICMP queries have an identifier in place of ports."""
    query = "dst=203.0.113.9 icmp=8 icmp-id=7 in=eth1"
    _, found = forwarded(f"src=10.1.0.5 {query}", f"src=10.1.0.6 {query}", rules=SNAT, base="")
    assert found.left.icmp_id == DRAWN


def test_where_no_port_of_the_range_is_free_the_packet_is_lost() -> None:
    """The kernel gives up after it has tried all, and does not let a second connection have the tuple."""
    *_, found = forwarded("", "src=10.1.0.6", rules="-A POSTROUTING -p udp -j SNAT --to-source 192.0.2.7:40000")
    assert found.verdict is Verdict.DROP
    assert found.assumptions[-1].startswith("conntrack: answers to it")


def test_a_destination_port_is_the_first_free_one_of_its_range() -> None:
    """Nothing is drawn for destinations."""
    rules = "-A PREROUTING -p udp -j DNAT --to-destination 203.0.113.9:80-81"
    first, second = forwarded("dport=53", "dport=54", rules=rules)
    assert (first.left.dport, second.left.dport) == (80, 81)


@given(st.integers(0, 255), st.integers(0, 255))
def test_one_of_several_addresses_is_within_them_and_the_same_for_the_same_ends(client: int, server: int) -> None:
    """A hash of both ends picks the address, so a server sees the same client come from the same address."""
    words = f"src=10.1.0.{client} dst=203.0.113.{server}"
    rules = "-A POSTROUTING -j SNAT --to-source 192.0.2.16-192.0.2.31"
    first, second = forwarded(f"{words} sport=1", f"{words} sport=2", rules=rules)
    assert first.left.src == second.left.src
    assert first.left.src in ip_network("192.0.2.16/28")
    assert not first.assumptions


BEYOND = "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"


@pytest.mark.parametrize(
    "to,dst,chosen",
    [
        ("2001:db8:2::1-2001:db8:2::8", BEYOND, "2001:db8:2::3"),
        ("2001:db8:2::1-2001:db8:2::8", "2001:db8:2::9", "2001:db8:2::8"),
        ("2001:db8:2::ffff-2001:db8:2::1:0", BEYOND, "2001:db8:2::ffff"),
        ("2001:db8:1::5-2001:db8:2::8", BEYOND, "2001:db8:1:4edc:9295:ee23:b17b:7bb5"),
        ("2001:db8:2::1-2001:db8:2::8 --persistent", BEYOND, "2001:db8:2::2"),
        ("2001:db8:2::1-2001:db8:2::8 --persistent", "2001:db8:2::9", "2001:db8:2::2"),
    ],
)
def test_a_destination_of_several_is_the_one_that_kernels_chose(to: str, dst: str, chosen: str) -> None:
    """As each word is chosen it takes the place of the old one in the hash, which a persistent choice leaves out."""
    rules = f"*nat\n:PREROUTING ACCEPT\n-A PREROUTING -p udp -j DNAT --to-destination {to}\nCOMMIT\n"
    first = packet(base=f"src=2001:db8:1::7 dst={dst} proto=udp sport=1000 dport=53 in=eth0")
    found = arrive(Walker(Ruleset(ipv6=parse_tables(rules))), ConnectionTracker(), first)
    assert str(found.left.dst) == chosen


@pytest.mark.parametrize(
    "words,start,expected",
    [((0, 0, 0, 0), 0, 0xBAF9078C), ((1, 2, 3, 4), 5, 0x73558C35)],
)
def test_the_hash_is_the_kernels(words: tuple[int, ...], start: int, expected: int) -> None:
    """It is Bob Jenkins' lookup3 over words, from the kernel's start value."""
    assert jhash2(words, start) == expected
