"""Names and numbers of IP protocols and ICMP types, as iptables spells them.

The parsers return numbers and raise `ValueError` for text that is neither a known name nor a number in range. Sources:
IANA registries of protocol and ICMP numbers; iptables-extensions(8) for the ICMP names.
"""

from collections.abc import Mapping

from engine.rulesets.canonical.icmp import icmp_range
from engine.rulesets.canonical.numbers import protocol_number
from engine.rulesets.model import Family

__all__ = ["icmp_range", "protocol_number"]

ICMP, IGMP, TCP, UDP, DCCP, ICMPV6, SCTP, UDPLITE = 1, 2, 6, 17, 33, 58, 132, 136

PORT_PROTOCOLS = frozenset({TCP, UDP, DCCP, SCTP, UDPLITE})
"""Protocols whose header begins with source and destination port."""

ICMP_OF: Mapping[Family, int] = {Family.IPV4: ICMP, Family.IPV6: ICMPV6}

EXTENSION_HEADERS = frozenset({0, 43, 44, 51, 59, 60})
"""IPv6 extension headers that Linux skips to find a packet's protocol (``ipv6_ext_hdr``)."""

PROTOCOLS: Mapping[str, int] = {
    "hopopt": 0,
    "icmp": ICMP,
    "igmp": IGMP,
    "ipencap": 4,
    "tcp": TCP,
    "egp": 8,
    "igp": 9,
    "udp": UDP,
    "dccp": DCCP,
    "ipv6": 41,
    "ipv6-route": 43,
    "ipv6-frag": 44,
    "rsvp": 46,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "icmpv6": ICMPV6,
    "ipv6-icmp": ICMPV6,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "eigrp": 88,
    "ospf": 89,
    "ipip": 94,
    "etherip": 97,
    "encap": 98,
    "pim": 103,
    "ipcomp": 108,
    "vrrp": 112,
    "l2tp": 115,
    "isis": 124,
    "sctp": SCTP,
    "ipv6-mh": 135,
    "mobility-header": 135,
    "mh": 135,
    "udplite": UDPLITE,
    "mpls-in-ip": 137,
}

_NAME_OF: Mapping[int, str] = {number: name for name, number in reversed(tuple(PROTOCOLS.items()))}


def number(text: str, highest: int) -> int:
    """Parse a decimal number, or a hexadecimal one with ``0x`` in front.

    Raises:
        ValueError: The text is not a number from 0 to ``highest``.
    """
    plain = text.lower()
    if not plain.isascii() or not plain.removeprefix("0x").isalnum():  # int() also takes "+1", "1_0" and " 1"
        raise ValueError(text)
    value = int(plain, 16 if plain.startswith("0x") else 10)
    if value > highest:
        raise ValueError(text)
    return value


def protocol_name(protocol: int, family: Family) -> str:
    """Return the protocol's name, or its number if it has no name or is the other family's ICMP."""
    if protocol in ICMP_OF.values() and protocol != ICMP_OF[family]:
        return str(protocol)
    return _NAME_OF.get(protocol, str(protocol))
