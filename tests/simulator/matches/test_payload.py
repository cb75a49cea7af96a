"""u32 reads numbers from a packet's bytes, masks, shifts and compares them, as the kernel does."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.compiler.traffic import traffic_of
from engine.policy.completed_rules import Protocol, Traffic
from engine.rulesets.model import Family, Match
from simulator.matches import compile_matches
from simulator.packets import Packet, from_wire, parse_spec, to_wire

SYN = from_wire(to_wire(parse_spec("src=10.0.0.1 dst=10.0.0.2 proto=tcp sport=1234 dport=80 len=60")))
REPORT = parse_spec("src=10.0.0.1 dst=224.0.0.251 igmp=0x16")


def held(expression: str, packet: Packet, *, negated: bool = False) -> bool | None:
    """Return whether a u32 expression holds for a packet."""
    (test,) = compile_matches((Match("u32", "u32", (expression,), negated),), Family.IPV4, {})
    return test.check(packet)


@pytest.mark.parametrize(
    "expression, expected",
    [
        ("0>>24=0x45", True),
        ("0&0xffff=60", True),
        ("0&0xffff=0:59", False),
        ("0&0xffff=1:10,60:70", True),
        ("6&0xff=6", True),
        ("6&0xff=6&&0>>22&0x3c@0&0xffff=80", True),
        ("6&0xff=6&&0>>22&0x3c@0>>16=1234", True),
        ("0>>22&0x3c@0>>16=1235", False),
        ("12=0x0a000001", True),
        ("0<<28>>28=0", False),
        ("56=0", True),
        ("57=0", False),
        ("4000000000=0:0xffffffff", False),
        ("0>>22&0x3c@4000000000=0:0xffffffff", False),
    ],
)
def test_expressions_on_a_tcp_packet(expression: str, expected: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Locations, masks, shifts, jumps, ranges and lists mean what they do in the kernel; past the end nothing holds."""
    assert held(expression, SYN) is expected
    assert held(expression, SYN, negated=True) is not expected


@pytest.mark.parametrize(
    "expression", ["", "0", "0=", "x=1", "0=:5", "0=5:", "0>>=1", "0>>4", "0@=1", "0=1&&", "0 1=2", "1" * 11 + "=0"]
)
def test_what_is_no_expression_is_opaque(expression: str) -> None:
    """What iptables would refuse is not guessed at."""
    assert held(expression, SYN) is None


@given(st.integers(0, 255), st.integers(0, 255))
def test_the_type_of_igmp_is_found(kind: int, wanted: int) -> None:
    """The expression that the compiler writes for a type of IGMP holds for that type alone."""
    (matches,) = traffic_of((Traffic(Protocol.IGMP, igmp=(wanted, "")),), Family.IPV4)
    expression = matches[-1].values[0]
    assert held(expression, replace(REPORT, igmp=kind)) is (kind == wanted)


def test_an_igmp_message_of_unknown_type_is_not_judged() -> None:
    """A packet that does not say its type has none to look at."""
    assert held("0>>22&0x3c@0>>24=0x16", replace(REPORT, igmp=None)) is None


@given(st.integers(0, 255))
def test_igmp_packets_go_to_the_wire_and_back(kind: int) -> None:
    """The type of a message survives bytes and words."""
    packet = replace(REPORT, igmp=kind)
    assert from_wire(to_wire(packet)).igmp == kind
    assert parse_spec(packet.words).igmp == kind
