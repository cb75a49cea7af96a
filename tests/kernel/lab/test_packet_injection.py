"""The kernel's verdicts on raw packets are those that hand-written rules ask for."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.packet import Packet

from adapters.lab.packet_injection import InjectionRig
from adapters.system.netns_sockets import DeliveryOutcome
from engine.rulesets.model import Family, Hook
from tests.support.kernel.lab_access import Load

pytestmark = pytest.mark.kernel

NODE = {Family.IPV4: "192.0.2.2", Family.IPV6: "2001:db8::2"}
PEER = {Family.IPV4: "203.0.113.9", Family.IPV6: "2001:db8:ffff::9"}
PROHIBITED = {Family.IPV4: "icmp-admin-prohibited", Family.IPV6: "icmp6-adm-prohibited"}
ICMP_NAME = {Family.IPV4: "icmp", Family.IPV6: "icmpv6"}


def packet(hook: Hook, family: Family, payload: Packet) -> bytes:
    """Return a packet from the peer to the node, or the other way round at OUTPUT."""
    ends = (PEER[family], NODE[family]) if hook is Hook.INPUT else (NODE[family], PEER[family])
    header = IP if family is Family.IPV4 else IPv6
    return bytes(header(src=ends[0], dst=ends[1]) / payload)


def one_of_each(hook: Hook, family: Family) -> list[bytes]:
    """Return a TCP, a UDP, an SCTP and an ICMP packet."""
    echo = ICMP(type=8, id=7) if family is Family.IPV4 else ICMPv6EchoRequest(id=7)
    sctp = SCTP(sport=40000, dport=53) / SCTPChunkInit()  # without a chunk, conntrack finds it INVALID
    payloads = (TCP(sport=40000, dport=53, seq=99), UDP(sport=40000, dport=53), sctp, echo)
    return [packet(hook, family, each) for each in payloads]


@pytest.mark.parametrize("hook", [Hook.INPUT, Hook.OUTPUT])
def test_without_rules_all_is_accepted(oracle: InjectionRig, family: Family, hook: Hook) -> None:
    """Without rules, packets of every protocol are accepted."""
    assert oracle.judge(hook, one_of_each(hook, family)) == [DeliveryOutcome.ACCEPT] * 4


@pytest.mark.parametrize("hook", [Hook.INPUT, Hook.OUTPUT])
def test_dropped_is_seen_as_dropped(oracle: InjectionRig, load: Load, family: Family, hook: Hook) -> None:
    """What DROP takes is seen as dropped, whatever the protocol, and nothing else is."""
    for index, protocol in enumerate(("tcp", "udp", "sctp", ICMP_NAME[family])):
        load(oracle.netns, f"-A {hook} -p {protocol} -j DROP")
        expected = [DeliveryOutcome.ACCEPT] * 4
        expected[index] = DeliveryOutcome.DROP
        assert oracle.judge(hook, one_of_each(hook, family)) == expected


@pytest.mark.parametrize("hook", [Hook.INPUT, Hook.OUTPUT])
@pytest.mark.parametrize("prohibited", ["", "by the administrator"])
def test_rejected_is_seen_as_rejected(
    oracle: InjectionRig, load: Load, family: Family, hook: Hook, prohibited: str
) -> None:
    """What REJECT takes is seen as rejected, whatever the protocol and the ICMP error."""
    kind = f" --reject-with {PROHIBITED[family]}" if prohibited else ""
    # The refusals themselves are let through: they are ICMP and pass OUTPUT, on lo also INPUT.
    far = "-s" if hook is Hook.INPUT else "-d"
    load(oracle.netns, f"-A {hook} {far} {PEER[family]} -m conntrack --ctstate NEW -j REJECT{kind}")

    assert oracle.judge(hook, one_of_each(hook, family)) == [DeliveryOutcome.REJECT] * 4


@pytest.mark.parametrize("hook", [Hook.INPUT, Hook.OUTPUT])
def test_a_reset_is_seen_as_rejected(oracle: InjectionRig, load: Load, family: Family, hook: Hook) -> None:
    """A TCP packet answered by an RST of REJECT is seen as rejected; the kernel's own RST for a closed port is not."""
    load(oracle.netns, f"-A {hook} -p tcp --dport 1 -j REJECT --reject-with tcp-reset")
    packets = [packet(hook, family, TCP(sport=40000, dport=port)) for port in (1, 2)]

    assert oracle.judge(hook, packets) == [DeliveryOutcome.REJECT, DeliveryOutcome.ACCEPT]


def test_a_forgotten_connection_is_new_again(oracle: InjectionRig, load: Load, family: Family) -> None:
    """A connection is established once it was answered, and new again once it is forgotten."""
    load(oracle.netns, "-A INPUT -m conntrack --ctstate ESTABLISHED -j DROP")
    packets = one_of_each(Hook.INPUT, family)[3:]  # an echo, which the kernel answers

    assert oracle.judge(Hook.INPUT, packets) == [DeliveryOutcome.ACCEPT]
    assert oracle.judge(Hook.INPUT, packets) == [DeliveryOutcome.DROP]
    oracle.forget()
    assert oracle.judge(Hook.INPUT, packets) == [DeliveryOutcome.ACCEPT]


def test_packets_that_cannot_be_told_apart_are_refused(oracle: InjectionRig) -> None:
    """Packets that cannot be told apart, or are not for the node, are refused rather than judged wrongly."""
    one = packet(Hook.INPUT, Family.IPV4, UDP(sport=1, dport=2))

    with pytest.raises(ValueError, match="cannot be told"):
        oracle.judge(Hook.INPUT, [one, one])
    with pytest.raises(ValueError, match="is for 203"):
        oracle.judge(Hook.INPUT, [packet(Hook.OUTPUT, Family.IPV4, UDP(sport=1, dport=2))])


@pytest.mark.parametrize("hook", [Hook.INPUT, Hook.OUTPUT])
def test_a_thousand_packets_are_judged_right(oracle: InjectionRig, load: Load, family: Family, hook: Hook) -> None:
    """A thousand packets at once, every third dropped and every third rejected, get their verdicts."""
    rules = [
        f"-A {hook} -p udp --dport 2 -m conntrack --ctstate NEW -j DROP",
        f"-A {hook} -p udp --dport 3 -j REJECT",
    ]
    load(oracle.netns, "\n".join(rules))
    packets = [packet(hook, family, UDP(sport=10000 + n, dport=1 + n % 3)) for n in range(1000)]

    outcomes = oracle.judge(hook, packets)

    kinds = (DeliveryOutcome.ACCEPT, DeliveryOutcome.DROP, DeliveryOutcome.REJECT)
    assert outcomes == [kinds[n % 3] for n in range(1000)]
