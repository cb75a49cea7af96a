"""Converts ICMP and ICMPv6 types between names, such as ``echo-request``, and numbers.

Input: words as iptables accepts them. Output: type and code numbers, or the name that iptables prints.

Sources: iptables-extensions(8), icmp and icmp6; IANA's registries of ICMP numbers.
"""

from collections.abc import Mapping

from engine.rulesets.canonical.numbers import number
from engine.rulesets.model import Family

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


def is_any_icmp(text: str, family: Family) -> bool:
    """Return whether an ICMP type stands for every message: in IPv4 the kernel takes 255 so, whatever the code."""
    return family is Family.IPV4 and (text.lower() == "any" or icmp_range(text, family)[0] == _ANY)


_ANY = 255
