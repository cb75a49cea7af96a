"""Reads numbers, protocols, ports, addresses and rates in every spelling that iptables accepts.

Input: words of a rule. Output: numbers. Raises ``ValueError`` for a word that is not valid. The functions never read
``/etc/protocols`` or ``/etc/services``, so that a rule means the same on every machine.

Sources: ``xtables_strtoui``, ``xtables_parse_protocol``, ``xtables_parse_port`` and ``xtables_numeric_to_ipaddr`` of
iptables 1.8; ``print_rate`` and ``parse_rate`` of its limit match; IANA's registry of protocol numbers.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from engine.rulesets.canonical.services import SERVICES
from engine.rulesets.model import Family

BITS: Mapping[Family, int] = {Family.IPV4: 32, Family.IPV6: 128}

MaskedAddress = tuple[int, int]
"""An address and a mask as numbers; the address has no bit outside the mask."""

PortInterval = tuple[int, int]
"""The lowest and the highest port."""

MOST_PORT = 0xFFFF

_PROTOCOLS = """
hopopt 0 ip 0 all 0 icmp 1 igmp 2 ggp 3 ipencap 4 ip-encap 4 st 5 tcp 6 egp 8 igp 9 pup 12 udp 17 hmp 20 xns-idp 22
rdp 27 iso-tp4 29 dccp 33 xtp 36 ddp 37 idpr-cmtp 38 ipv6 41 ipv6-route 43 ipv6-frag 44 idrp 45 rsvp 46 gre 47 esp 50
ipsec-esp 50 ah 51 ipsec-ah 51 skip 57 icmpv6 58 ipv6-icmp 58 ipv6-nonxt 59 ipv6-opts 60 rspf 73 vmtp 81 eigrp 88
ospf 89 ospfigp 89 ax.25 93 ipip 94 etherip 97 encap 98 pim 103 ipcomp 108 vrrp 112 l2tp 115 isis 124 sctp 132 fc 133
mobility-header 135 ipv6-mh 135 mh 135 udplite 136 mpls-in-ip 137 manet 138 hip 139 shim6 140 wesp 141 rohc 142
ethernet 143
"""
_WORDS = _PROTOCOLS.split()
PROTOCOLS: Mapping[str, int] = {name: int(number) for name, number in zip(_WORDS[::2], _WORDS[1::2], strict=True)}
"""Every name of a protocol that Debian's /etc/protocols or iptables itself has."""

PORTABLE = frozenset("all tcp sctp udp udplite icmp icmpv6 ipv6-icmp esp ah ipv6-mh mh".split())
"""Names that every release of iptables takes on a machine without /etc/protocols."""

_CANONICAL = {PROTOCOLS[name]: name for name in ("icmp", "igmp", "tcp", "udp", "ipv6-icmp", "sctp")}
"""The protocols that nodewall itself writes by name; all others are numbers in a canonical rule."""

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+", re.ASCII)

RATE_SCALE = 10000
"""The limit match counts in ten-thousandths of a second."""
_RATE_UNITS = (("day", 86400), ("hour", 3600), ("min", 60), ("sec", 1))
_RATE_WORDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


def number(text: str, most: int) -> int:
    """Read a number as C's ``strtoul`` does: decimal, ``0x`` hexadecimal, or octal after a leading 0.

    Raises:
        ValueError: it is no number from 0 to ``most``.
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    octal = len(text) > 1 and text[0] == "0" and text[1] not in "xX"
    value = int(text, 8 if octal else 0)
    if value > most:
        raise ValueError(text)
    return value


@lru_cache(maxsize=1 << 10)
def protocol_number(text: str) -> int:
    """Read a protocol by name or number; ``all`` is 0."""
    known = PROTOCOLS.get(text.lower())
    return number(text, 255) if known is None else known


def protocol_word(protocol: int) -> str:
    """Return the canonical word of a protocol: the name under which nodewall compiles it, else its number."""
    return _CANONICAL.get(protocol, str(protocol))


def portable_protocol(text: str) -> str:
    """Return a protocol as every release of iptables takes it, with or without /etc/protocols."""
    known = PROTOCOLS.get(text.lower())
    return text if known is None or text in PORTABLE else str(known)


def port(text: str) -> int:
    """Read a port by number or by the name of its service."""
    known = SERVICES.get(text.lower())
    return number(text, MOST_PORT) if known is None else known


@lru_cache(maxsize=1 << 12)
def port_range(text: str) -> PortInterval:
    """Read ``PORT``, ``LOW:HIGH``, ``:HIGH`` or ``LOW:``; a port may be the name of a service."""
    low_text, colon, high_text = text.partition(":")
    if not colon:
        return (port(text), port(text))
    low = port(low_text) if low_text else 0
    high = port(high_text) if high_text else MOST_PORT
    if low > high:
        raise ValueError(text)
    return (low, high)


def address_number(text: str, family: Family) -> int:
    """Read an address; of IPv4 also a short one such as ``10.1``, whose last bytes are 0."""
    if family is Family.IPV6:
        return int(IPv6Address(text))
    parts = text.split(".")
    if len(parts) > 4:
        raise ValueError(text)
    octets = [number(part, 255) for part in parts]
    return int.from_bytes(bytes([*octets, 0, 0, 0])[:4])


def masked(text: str, family: Family) -> MaskedAddress:
    """Read ``ADDRESS``, ``ADDRESS/PREFIX`` or ``ADDRESS/MASK``, whose mask may have holes."""
    address, slash, mask_text = text.partition("/")
    mask = _mask(mask_text, family) if slash else (1 << BITS[family]) - 1
    return address_number(address, family) & mask, mask


def _mask(text: str, family: Family) -> int:
    bits = BITS[family]
    if not (text.isascii() and text.isdigit()):
        if family is Family.IPV4 and text.count(".") != 3:
            raise ValueError(text)
        return address_number(text, family)
    prefix = int(text)
    if prefix > bits:
        raise ValueError(text)
    return ((1 << prefix) - 1) << (bits - prefix)


def address_word(value: int, family: Family) -> str:
    """Return an address as the tools print it."""
    return str(IPv4Address(value) if family is Family.IPV4 else IPv6Address(value))


def masked_word(value: MaskedAddress, family: Family) -> str:
    """Return an address with its mask: as ``/PREFIX`` where the mask has no holes."""
    address, mask = value
    bits = BITS[family]
    prefix = mask.bit_count()
    whole = mask == ((1 << prefix) - 1) << (bits - prefix)
    return f"{address_word(address, family)}/{prefix if whole else address_word(mask, family)}"


def rate_period(text: str) -> int:
    """Read a rate such as ``5/minute`` as the ten-thousandths of a second between two packets."""
    count, slash, unit = text.partition("/")
    words = [seconds for word, seconds in _RATE_WORDS.items() if unit and word.startswith(unit.lower())]
    if (slash and not words) or not count.isdecimal() or int(count) == 0:
        raise ValueError(text)
    period = RATE_SCALE * (words[0] if words else 1) // int(count)
    if period == 0:
        raise ValueError(text)
    return period


def rate_word(period: int) -> str:
    """Return a rate, given as the ten-thousandths of a second between two packets, as iptables prints it."""
    name, seconds = _RATE_UNITS[0]
    for unit, size in _RATE_UNITS[1:]:
        if period > size * RATE_SCALE or size * RATE_SCALE // period < size * RATE_SCALE % period:
            break
        name, seconds = unit, size
    return f"{seconds * RATE_SCALE // period}/{name}"
