"""What kernels were seen to do with connections, where the simulator once said otherwise."""

from dataclasses import replace
from ipaddress import ip_interface

from scapy.layers.inet import IP
from scapy.layers.sctp import SCTP, SCTPChunkShutdown
from scapy.packet import Raw

from engine.rulesets.model import Ruleset
from engine.rulesets.text import parse_tables
from simulator.conntrack import ConnectionTracker
from simulator.context import Host
from simulator.netfilter import Evaluation, Verdict, Walker
from simulator.packets import ConnState, Packet, from_wire, parse_spec
from simulator.traversal import arrive, send

HOST = Host({"eth0": (ip_interface("192.0.2.1/24"), ip_interface("2001:db8::1/64"))})
CLIENT = "in=eth0 src=192.0.2.9 dst=192.0.2.1 proto=tcp sport=40000 dport=80"
SERVER = "out=eth0 src=192.0.2.1 dst=192.0.2.9 proto=tcp sport=80 dport=40000"


class Node:
    """A node with rules of one family, and the connections that packets have led to."""

    def __init__(self, rules: str = "", *, six: bool = False) -> None:
        tables = parse_tables(rules)
        self._walker = Walker(Ruleset(ipv6=tables) if six else Ruleset(ipv4=tables))
        self._tracker = ConnectionTracker(HOST)

    def says(self, packet: str | Packet) -> Evaluation:
        """Return what becomes of a packet that arrives, or that a program sends."""
        seen = parse_spec(packet) if isinstance(packet, str) else packet
        return (arrive if seen.in_interface else send)(self._walker, self._tracker, seen)

    def state(self, packet: str | Packet) -> ConnState:
        """Return the state that a packet is found in."""
        return self.says(packet).packet.state


def filtering(*rules: str) -> str:
    """Return the text of a filter table."""
    chains = [f":{hook} ACCEPT [0:0]" for hook in ("INPUT", "FORWARD", "OUTPUT")]
    return "\n".join(["*filter", *chains, *rules, "COMMIT", ""])


def test_a_rejection_by_rst_closes_the_connection() -> None:
    """The RST that a rule sends passes conntrack too: the server's SYN is none of a known connection any more."""
    node = Node(filtering("-A OUTPUT -p tcp -m tcp --tcp-flags SYN,ACK SYN,ACK -j REJECT --reject-with tcp-reset"))
    assert node.state(CLIENT) is ConnState.NEW
    assert node.says(f"{SERVER} flags=SYN,ACK").verdict is Verdict.REJECT
    assert node.state(f"{SERVER} flags=SYN") is ConnState.INVALID


def test_an_rst_about_an_untracked_packet_is_tracked() -> None:
    """A segment that is not to be tracked, rejected by an RST, ends the connection whose ends it has all the same."""
    raw = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m tos --tos 0x10 -j CT --notrack\nCOMMIT\n"
    reject = "-A INPUT -p tcp -m conntrack --ctstate UNTRACKED -j REJECT --reject-with {}"
    for how, kept in (("tcp-reset", False), ("icmp-port-unreachable", True)):
        node = Node(raw + filtering(reject.format(how)))
        node.says(CLIENT)
        assert node.says(f"{CLIENT} tos=0x10").verdict is Verdict.REJECT
        connection = node.says(CLIENT).left.connection
        assert connection is not None
        assert ("CONFIRMED" in connection.status) is kept


def test_an_rst_that_cannot_leave_closes_nothing() -> None:
    """What comes to 127.0.0.1 from a source that was rewritten to another node's cannot be answered."""
    redirect = "-A OUTPUT -d 192.0.2.9/32 -p tcp -j REDIRECT"
    chains = [":OUTPUT ACCEPT [0:0]", ":POSTROUTING ACCEPT [0:0]"]
    reject = filtering("-A INPUT -i lo -p tcp -j REJECT --reject-with tcp-reset")
    for rewritten, state in ((["-A POSTROUTING -j SNAT --to-source 192.0.2.9"], "ESTABLISHED"), ([], "INVALID")):
        node = Node("\n".join(["*nat", *chains, redirect, *rewritten, "COMMIT", reject]))
        rejected = node.says("out=eth0 src=192.0.2.1 dst=192.0.2.9 proto=tcp sport=40000 dport=80")
        assert rejected.verdict is Verdict.REJECT
        back = f"out=eth0 src=127.0.0.1 dst={rejected.left.src} proto=tcp sport=80 dport=40000 flags=SYN"
        assert str(node.state(back)) == state


def test_a_syn_does_not_reopen_what_the_other_side_has_reset() -> None:
    """After an RST of the server a SYN is still of the old connection; after one of its own side it begins anew."""
    for resetter, state in ((SERVER, ConnState.ESTABLISHED), (CLIENT, ConnState.NEW)):
        node = Node()
        node.says(CLIENT)
        node.says(f"{SERVER} flags=SYN,ACK")
        node.says(f"{resetter} flags=RST")
        assert node.state(CLIENT) is state


def test_a_challenge_acknowledges_no_fin() -> None:
    """An ACK after a SYN in between (RFC 5961) leaves a closing connection as it is, so that no SYN reopens it."""
    node = Node()
    for words in (CLIENT, f"{SERVER} flags=SYN,ACK", f"{SERVER} flags=FIN,ACK", f"{SERVER} flags=FIN,ACK"):
        node.says(words)
    assert node.state(CLIENT) is ConnState.ESTABLISHED
    assert node.state(f"{SERVER} flags=ACK") is ConnState.ESTABLISHED
    assert node.state(CLIENT) is ConnState.ESTABLISHED


def test_an_ack_of_either_side_ends_a_handshake_that_both_began() -> None:
    """Only where the server sent a SYN too its ACK establishes the connection; a SYN,ACK of the client is then late."""
    for first, state in (("flags=SYN", ConnState.INVALID), ("flags=SYN,ACK", ConnState.ESTABLISHED)):
        node = Node()
        for words in (CLIENT, f"{SERVER} {first}", f"{SERVER} flags=SYN,ACK", f"{SERVER} flags=ACK"):
            node.says(words)
        assert node.state(f"{CLIENT} flags=SYN,ACK") is state


def test_a_syn_in_between_may_begin_a_handshake_of_one_side() -> None:
    """A SYN of the client that is let through unheeded makes the server's ACK no end of the handshake any more."""
    node = Node()
    for words in (CLIENT, f"{SERVER} flags=SYN", f"{SERVER} flags=SYN,ACK", CLIENT, f"{SERVER} flags=ACK"):
        node.says(words)
    assert node.state(f"{CLIENT} flags=SYN,ACK") is ConnState.ESTABLISHED


def test_what_is_invalid_where_it_leaves_is_looked_up_again_where_it_returns() -> None:
    """An answer over lo that OUTPUT seeks in another zone finds its connection when PREROUTING seeks it in its own."""
    zone = "*raw\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p tcp -m tcp --sport 80 -j CT --zone 3\nCOMMIT\n"
    node = Node(zone)
    own = "out=lo src=192.0.2.1 dst=192.0.2.1 proto=tcp"
    assert node.state(f"{own} sport=40000 dport=80") is ConnState.NEW
    assert node.state(f"{own} sport=80 dport=40000 flags=SYN,ACK") is ConnState.ESTABLISHED


def test_the_first_zone_counts() -> None:
    """A second rule that names a zone changes nothing."""
    chains = [":PREROUTING ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"]
    zones = ["-A PREROUTING -j CT --zone 3", "-A PREROUTING -j CT --zone 5", "-A OUTPUT -j CT --zone 3"]
    node = Node("\n".join(["*raw", *chains, *zones, "COMMIT", ""]))
    node.says(CLIENT)
    assert node.state(f"{SERVER} flags=SYN,ACK") is ConnState.ESTABLISHED


def test_sctp_begins_with_its_own_tag() -> None:
    """A SHUTDOWN that no association is known for is INVALID, unless its verification tag is 0."""
    for tag, state in ((1, ConnState.INVALID), (0, ConnState.NEW)):
        data = bytes(IP(src="192.0.2.9", dst="192.0.2.1") / SCTP(sport=1, dport=2, tag=tag) / SCTPChunkShutdown())
        assert Node().state(from_wire(data, in_interface="eth0")) is state


def test_a_match_that_reads_past_the_end_drops_the_packet() -> None:
    """SCTP whose chunk is cut is dropped by the rule that looks for chunks, though that does not match."""
    node = Node(filtering("-A INPUT -p sctp -m sctp --chunk-types any DATA -j ACCEPT"))
    data = bytes(IP(src="192.0.2.9", dst="192.0.2.1", proto=132) / SCTP(sport=1, dport=2) / Raw(b"cut"))
    answer = node.says(from_wire(data, in_interface="eth0"))
    assert (answer.verdict, answer.trace[-1].matched) == (Verdict.DROP, False)


def test_what_returns_by_loopback_is_confirmed() -> None:
    """A packet that the node sends to itself comes back with the connection that leaving has confirmed."""
    node = Node(filtering("-A INPUT -m conntrack --ctstatus CONFIRMED -j DROP"))
    assert node.says("out=lo src=192.0.2.1 dst=192.0.2.1 proto=udp sport=1 dport=2").verdict is Verdict.DROP
    assert node.says(CLIENT).verdict is Verdict.ACCEPT


def test_loopback_addresses_come_by_no_other_interface() -> None:
    """IPv6 drops them before any rule."""
    answer = Node(six=True).says("in=eth0 src=2001:db8::9 dst=::1 proto=udp sport=1 dport=2")
    assert (answer.verdict, answer.trace) == (Verdict.DROP, ())


def test_a_connection_that_is_over_gives_its_tuple_away() -> None:
    """Where only one port may be taken, the closed connection that has it makes room, but an open one does not."""
    rules = "*nat\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -j SNAT --to-source 192.0.2.77:8080\nCOMMIT\n"
    for last, verdict in (("flags=RST", Verdict.ACCEPT), ("flags=ACK", Verdict.DROP)):
        node = Node(rules)
        first = replace(parse_spec(CLIENT), sport=1000)
        node.says(first)
        node.says("out=eth0 src=192.0.2.1 dst=192.0.2.77 proto=tcp sport=80 dport=8080 flags=SYN,ACK")
        node.says(f"{CLIENT} sport=1000 {last}".replace("sport=40000 ", ""))
        assert node.says(replace(first, sport=2000)).verdict is verdict
