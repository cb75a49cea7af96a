"""The lockout guard: what it calls lost, broken and astray."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from engine.addresses import Block
from engine.compiler import compile_rules
from engine.rules import Action, CompletedRule, Direction, Protocol, Rank, Service
from engine.ruleset import Chain, Rule, Ruleset, Table, Target
from simulator.guard import Guard, TrustingVerifier
from tests.rulesets import completed

API = CompletedRule(
    policy="(static)",
    name="api-server-in",
    rank=Rank(-1, 0.0, "(static)", 0),
    direction=Direction.INGRESS,
    action=Action.ALLOW,
    peers=(Block(ip_network("192.0.2.7/32")), Block(ip_network("2001:db8::7/128"))),
    services=(Service(Protocol.TCP, (6443, 6443)),),
)
DENY = CompletedRule(
    policy="deny", name="all", rank=Rank(50, 1.0, "deny", 0), direction=Direction.INGRESS, action=Action.DROP
)
GUARD = Guard([API], [ip_address("192.0.2.1"), ip_address("2001:db8::1")])


def test_a_lifeline_that_stays_open_is_not_lost() -> None:
    """A deny-all policy behind the static rules loses nothing."""
    assert GUARD.judge(Ruleset(), compile_rules([API, DENY]), ()).lost == ()


def test_a_lifeline_that_closes_is_named_with_its_decider() -> None:
    """A deny-all policy without the static rules loses the API server in both families."""
    lost = GUARD.judge(Ruleset(), compile_rules([DENY]), ()).lost
    assert len(lost) == 2
    assert "dport=6443" in lost[0]
    assert lost[0].endswith(": drop by filter/NW-INPUT rule 3 (api-server-in)")


def test_what_did_not_get_through_before_is_not_lost_by_us() -> None:
    """A path that the host's own rules close already is none that a plan could lose."""
    closed = (Table("mangle", (Chain("INPUT", (Rule((), Target("DROP")),), "ACCEPT"),)),)
    before = Ruleset(ipv4=closed, ipv6=closed)
    assert GUARD.judge(before, replace(compile_rules([DENY]), ipv4=closed, ipv6=closed), ()).lost == ()


def test_an_egress_lifeline_is_judged_outwards() -> None:
    """A lifeline that leaves the node is judged at OUTPUT, in both families."""
    outward = replace(API, direction=Direction.EGRESS)
    deny = replace(DENY, direction=Direction.EGRESS)
    lost = Guard([outward], [ip_address("192.0.2.1")]).judge(Ruleset(), compile_rules([deny]), ()).lost
    assert [("out=eth0" in text, "NW-OUTPUT" in text) for text in lost] == [(True, True)] * 2


def test_the_trusting_verifier_finds_nothing() -> None:
    """It is for taking rules away, where there is nothing to lose."""
    assert TrustingVerifier().judge(Ruleset(), compile_rules([DENY]), ()).lost == ()


@pytest.mark.parametrize(
    "service",
    [
        Service(Protocol.ICMP),
        Service(Protocol.ICMP, icmp=(3, 4)),
        Service(Protocol.ICMPV6),
        Service(Protocol.SCTP, (5, 5)),
        Service(Protocol.IGMP),
        Service(Protocol.IGMP, igmp=(0x16, "224.0.0.251")),
    ],
)
def test_every_kind_of_traffic_can_be_a_lifeline(service: Service) -> None:
    """A static rule of any traffic keeps its packets through, and a rule that drops all loses them."""
    own = [ip_address("192.0.2.1"), ip_address("2001:db8::1")]
    rule = completed("s", action=Action.ALLOW, services=(service,))
    guard = Guard([rule], own)
    assert guard.judge(Ruleset(), compile_rules([rule, DENY]), ()).lost == ()
    assert len(guard.judge(Ruleset(), compile_rules([DENY]), ()).lost) >= 1
