"""Hypothesis strategies for packets that both SPEC notation and bytes can express."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from engine.rulesets.model import Family
from simulator.packets import TCP_FLAGS, Address, Packet, protocol_names

PORTS = st.integers(0, 0xFFFF)
BYTE = st.integers(0, 0xFF)
QUERIES = {Family.IPV4: (0, 8, 10), Family.IPV6: (128, 129, 135)}


def _address(number: int, family: Family) -> Address:
    return IPv4Address(number) if family is Family.IPV4 else IPv6Address(number)


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    """Draw a packet that both SPEC notation and bytes can express."""
    family = draw(st.sampled_from(tuple(Family)))
    address = st.integers(1, 0xFFFFFFFF).map(lambda number: _address(number, family))
    protocol = draw(st.sampled_from((6, 17, 132, 136, protocol_names.ICMP_OF[family], 50, 2, 253)))
    bare = Packet(
        src=draw(address),
        dst=draw(address),
        protocol=protocol,
        ttl=draw(BYTE),
        fragment=draw(st.booleans()),
        in_interface=draw(st.sampled_from(("", "eth0", "lo"))),
        out_interface=draw(st.sampled_from(("", "eth1"))),
        mac=draw(st.sampled_from((None, "02:00:00:00:00:01"))),
    )
    if bare.fragment:
        return bare
    if protocol in protocol_names.PORT_PROTOCOLS:
        bare = replace(bare, sport=draw(PORTS), dport=draw(PORTS))
    if protocol == protocol_names.TCP:
        return replace(bare, flags=draw(st.frozensets(st.sampled_from(TCP_FLAGS))))
    if protocol in protocol_names.ICMP_OF.values():
        return replace(bare, icmp=(draw(st.sampled_from(QUERIES[family])), draw(BYTE)), icmp_id=draw(PORTS))
    if protocol == protocol_names.IGMP and family is Family.IPV4:
        return replace(bare, igmp=draw(BYTE))
    return bare
