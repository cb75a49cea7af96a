"""Connection states across packet sequences, against what nf_conntrack does."""

from dataclasses import replace

import pytest

from simulator.conntrack import ConnectionTracker, follow
from simulator.netfilter import Walker
from simulator.packets import Packet
from tests.support.packets.packet_builders import chain, filtering, match, packet, rule

CLIENT = "src=10.0.0.1 dst=10.0.0.2 proto=tcp sport=40000 dport=22"
SERVER = "src=10.0.0.2 dst=10.0.0.1 proto=tcp sport=22 dport=40000"
CLIENT6, SERVER6 = "src=fd00::1 dst=fd00::2", "src=fd00::2 dst=fd00::1"


def tcp(words: str) -> Packet:
    """A TCP packet: ``>`` from the client or ``<`` from the server, then its flags."""
    return packet(f"flags={words[1:]}", CLIENT if words[0] == ">" else SERVER)


def icmp(words: str, *, back: bool = False, number: int = 1) -> Packet:
    """An ICMP packet with an identifier, from the client or back from the server."""
    ends = "src=10.0.0.2 dst=10.0.0.1" if back else "src=10.0.0.1 dst=10.0.0.2"
    return packet(f"icmp={words} icmp-id={number}", ends)


def states(*packets: Packet) -> list[str]:
    """The state of each packet where all are accepted."""
    return [str(answer.packet.state) for answer in follow(Walker(filtering()), packets)]


@pytest.mark.parametrize(
    "sequence,expected",
    [
        (">SYN <SYN,ACK >ACK", "NEW ESTABLISHED ESTABLISHED"),
        (">SYN >SYN", "NEW NEW"),
        (">SYN <RST,ACK", "NEW ESTABLISHED"),
        (">SYN >ACK", "NEW INVALID"),
        (">SYN <RST,ACK <RST,ACK >SYN", "NEW ESTABLISHED INVALID NEW"),
        (">SYN >RST <SYN", "NEW NEW NEW"),
        (">ACK <ACK", "NEW ESTABLISHED"),
        ("<SYN,ACK", "INVALID"),
        (">RST", "INVALID"),
        (">FIN,ACK", "INVALID"),
        (">SYN,FIN", "INVALID"),
        (">NONE", "INVALID"),
        (">SYN,ECE,CWR <SYN,ACK,ECE >ACK,PSH", "NEW ESTABLISHED ESTABLISHED"),
        (">SYN <SYN,ACK >ACK <SYN", "NEW ESTABLISHED ESTABLISHED INVALID"),
        (">SYN <SYN,ACK >ACK >FIN,ACK <ACK <FIN,ACK >ACK >SYN", "NEW" + " ESTABLISHED" * 6 + " NEW"),
        (">SYN <SYN,ACK >RST >SYN <SYN,ACK", "NEW ESTABLISHED ESTABLISHED NEW ESTABLISHED"),
    ],
)
def test_tcp_follows_the_kernels_states(sequence: str, expected: str) -> None:
    """A TCP packet is new, established or invalid by its flags and what came before."""
    assert states(*(tcp(words) for words in sequence.split())) == expected.split()


def test_udp_is_established_once_both_sides_have_spoken() -> None:
    """UDP stays new until a reply, and is established for both sides from then on."""
    asked = packet("proto=udp", CLIENT)
    replied = packet("proto=udp", SERVER)
    assert states(asked, asked, replied, asked) == ["NEW", "NEW", "ESTABLISHED", "ESTABLISHED"]
    assert states(asked, packet("proto=udp sport=23", SERVER)) == ["NEW", "NEW"]


def test_protocols_without_ports_are_tracked_by_address() -> None:
    """A protocol without a header we know is tracked by its addresses."""
    out, back = packet("proto=gre", "src=10.0.0.1 dst=10.0.0.2"), packet("proto=gre", "src=10.0.0.2 dst=10.0.0.1")
    assert states(out, back, out) == ["NEW", "ESTABLISHED", "ESTABLISHED"]


def test_icmp_queries_are_told_apart_by_identifier() -> None:
    """A reply is established if its query was seen, and invalid under another identifier or type."""
    assert states(icmp("8/0"), icmp("0/0", back=True), icmp("8/0")) == ["NEW", "ESTABLISHED", "ESTABLISHED"]
    assert states(icmp("8/0"), icmp("0/0", back=True, number=2)) == ["NEW", "INVALID"]
    assert states(icmp("8/0"), icmp("14/0", back=True)) == ["NEW", "INVALID"]
    assert states(icmp("9/0")) == ["INVALID"]


@pytest.mark.parametrize("kind", ["3/3", "3/4", "11/0", "12/0"])
def test_an_icmp_error_is_related_to_the_connection_it_quotes(kind: str) -> None:
    """An error about a known connection is related, one about another or about none is invalid."""
    router = packet(f"icmp={kind}", "src=192.0.2.1 dst=10.0.0.1")
    about, other = replace(router, inner=tcp(">SYN")), replace(router, inner=packet("dport=23", CLIENT))
    assert states(tcp(">SYN"), about, other, router) == ["NEW", "RELATED", "INVALID", "INVALID"]
    assert states(tcp(">SYN"), replace(about, dst=packet().dst)) == ["NEW", "INVALID"]


def test_an_icmpv6_error_is_related_and_its_query_tracked() -> None:
    """ICMPv6 errors and echo behave as those of IPv4."""
    ask, answer = packet("icmp=128/0", CLIENT6), packet("icmp=129/0", SERVER6)
    error = replace(packet("icmp=2/0", SERVER6), inner=ask)
    assert states(error, ask, error, answer) == ["INVALID", "NEW", "RELATED", "ESTABLISHED"]


@pytest.mark.parametrize(
    "kind,expected",
    [
        ("130/0", "UNTRACKED"),
        ("133/0", "UNTRACKED"),
        ("136/0", "UNTRACKED"),
        ("143/0", "UNTRACKED"),
        ("137/0", "INVALID"),
    ],
)
def test_neighbour_discovery_is_untracked(kind: str, expected: str) -> None:
    """Neighbour and multicast listener discovery is not tracked; a redirect has no reply and is invalid."""
    assert states(packet(f"icmp={kind}", CLIENT6)) == [expected]


def test_a_dropped_packet_opens_no_connection() -> None:
    """A connection is known only once a packet of it got through; replies to a dropped one are not established."""
    rules = filtering(chain("INPUT", rule("ACCEPT", match("conntrack", "ctstate", "ESTABLISHED")), policy="DROP"))
    answers = list(follow(Walker(rules), [tcp(">SYN"), tcp("<SYN,ACK"), tcp(">SYN")]))
    assert [(str(answer.packet.state), answer.verdict) for answer in answers] == [
        ("NEW", "drop"),
        ("INVALID", "drop"),
        ("NEW", "drop"),
    ]


def test_a_seen_reply_counts_even_if_dropped() -> None:
    """Tracking comes before filtering: a dropped reply still establishes the connection."""
    tracker = ConnectionTracker()
    tracker.confirm(tracker.track(packet("proto=udp", CLIENT)))
    tracker.state_of(packet("proto=udp", SERVER))
    assert tracker.state_of(packet("proto=udp", CLIENT)).state == "ESTABLISHED"


def test_a_later_fragment_is_judged_as_invalid_and_says_so() -> None:
    """A fragment without a header has no connection, and the answer names that assumption."""
    later = packet("fragment=yes", "src=10.0.0.1 dst=10.0.0.2 proto=udp")
    (answer,) = follow(Walker(filtering()), [later])
    assert answer.packet.state == "INVALID"
    assert "puts fragments together" in answer.assumptions[0]
