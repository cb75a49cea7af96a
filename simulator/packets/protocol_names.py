"""Names and numbers of protocols and ICMP types, as iptables spells them.

Sources: IANA's registries of protocol and ICMP numbers; the ICMP names are those of iptables-extensions(8).
"""

from collections.abc import Mapping

from engine.rulesets.model import Family

ICMP, IGMP, TCP, UDP, DCCP, ICMPV6, SCTP, UDPLITE = 1, 2, 6, 17, 33, 58, 132, 136

PORT_PROTOCOLS = frozenset({TCP, UDP, DCCP, SCTP, UDPLITE})
"""Those whose header begins with both ports."""

ICMP_OF: Mapping[Family, int] = {Family.IPV4: ICMP, Family.IPV6: ICMPV6}

EXTENSION_HEADERS = frozenset({0, 43, 44, 51, 59, 60})
"""What Linux skips on the way to an IPv6 packet's protocol (``ipv6_ext_hdr`` in the kernel)."""

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

IcmpRange = tuple[int, int, int]
"""An ICMP type, and its codes from the lowest to the highest that the name covers."""


def _whole(number: int) -> IcmpRange:
    return (number, 0, 255)


def _code(number: int, code: int) -> IcmpRange:
    return (number, code, code)


ICMP_TYPES: Mapping[Family, Mapping[str, IcmpRange]] = {
    Family.IPV4: {
        "echo-reply": _whole(0),
        "pong": _whole(0),
        "destination-unreachable": _whole(3),
        "network-unreachable": _code(3, 0),
        "host-unreachable": _code(3, 1),
        "protocol-unreachable": _code(3, 2),
        "port-unreachable": _code(3, 3),
        "fragmentation-needed": _code(3, 4),
        "source-route-failed": _code(3, 5),
        "network-unknown": _code(3, 6),
        "host-unknown": _code(3, 7),
        "network-prohibited": _code(3, 9),
        "host-prohibited": _code(3, 10),
        "tos-network-unreachable": _code(3, 11),
        "tos-host-unreachable": _code(3, 12),
        "communication-prohibited": _code(3, 13),
        "host-precedence-violation": _code(3, 14),
        "precedence-cutoff": _code(3, 15),
        "source-quench": _whole(4),
        "redirect": _whole(5),
        "network-redirect": _code(5, 0),
        "host-redirect": _code(5, 1),
        "tos-network-redirect": _code(5, 2),
        "tos-host-redirect": _code(5, 3),
        "echo-request": _whole(8),
        "ping": _whole(8),
        "router-advertisement": _whole(9),
        "router-solicitation": _whole(10),
        "time-exceeded": _whole(11),
        "ttl-exceeded": _whole(11),
        "ttl-zero-during-transit": _code(11, 0),
        "ttl-zero-during-reassembly": _code(11, 1),
        "parameter-problem": _whole(12),
        "ip-header-bad": _code(12, 0),
        "required-option-missing": _code(12, 1),
        "timestamp-request": _whole(13),
        "timestamp-reply": _whole(14),
        "address-mask-request": _whole(17),
        "address-mask-reply": _whole(18),
    },
    Family.IPV6: {
        "destination-unreachable": _whole(1),
        "no-route": _code(1, 0),
        "communication-prohibited": _code(1, 1),
        "beyond-scope": _code(1, 2),
        "address-unreachable": _code(1, 3),
        "port-unreachable": _code(1, 4),
        "failed-policy": _code(1, 5),
        "reject-route": _code(1, 6),
        "packet-too-big": _whole(2),
        "time-exceeded": _whole(3),
        "ttl-exceeded": _whole(3),
        "ttl-zero-during-transit": _code(3, 0),
        "ttl-zero-during-reassembly": _code(3, 1),
        "parameter-problem": _whole(4),
        "bad-header": _code(4, 0),
        "unknown-header-type": _code(4, 1),
        "unknown-option": _code(4, 2),
        "echo-request": _whole(128),
        "ping": _whole(128),
        "echo-reply": _whole(129),
        "pong": _whole(129),
        "mld-listener-query": _whole(130),
        "mld-listener-report": _whole(131),
        "mld-listener-done": _whole(132),
        "mld-listener-reduction": _whole(132),
        "router-solicitation": _whole(133),
        "router-advertisement": _whole(134),
        "neighbour-solicitation": _whole(135),
        "neighbor-solicitation": _whole(135),
        "neighbour-advertisement": _whole(136),
        "neighbor-advertisement": _whole(136),
        "redirect": _whole(137),
    },
}


def number(text: str, highest: int) -> int:
    """Read a plain number, decimal or after ``0x`` hexadecimal.

    Raises:
        ValueError: it is no number from 0 to ``highest``.
    """
    plain = text.lower()
    if not plain.isascii() or not plain.removeprefix("0x").isalnum():  # int() also takes "+1", "1_0" and " 1"
        raise ValueError(text)
    value = int(plain, 16 if plain.startswith("0x") else 10)
    if value > highest:
        raise ValueError(text)
    return value


def protocol_number(text: str) -> int:
    """Read a protocol by name or number; ``all`` is 0.

    Raises:
        ValueError: it is neither.
    """
    name = text.lower()
    if name == "all":
        return 0
    known = PROTOCOLS.get(name)
    return number(text, 255) if known is None else known


def protocol_name(protocol: int, family: Family) -> str:
    """Return the protocol's name; its number where it has none, or is the other family's ICMP."""
    if protocol in ICMP_OF.values() and protocol != ICMP_OF[family]:
        return str(protocol)
    return _NAME_OF.get(protocol, str(protocol))


def icmp_range(text: str, family: Family) -> IcmpRange:
    """Read an ICMP type: a name, ``TYPE`` or ``TYPE/CODE``.

    Raises:
        ValueError: it is none of them.
    """
    known = ICMP_TYPES[family].get(text.lower())
    if known is not None:
        return known
    kind, slash, code = text.partition("/")
    return _code(number(kind, 255), number(code, 255)) if slash else _whole(number(kind, 255))
