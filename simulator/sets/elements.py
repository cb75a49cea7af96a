"""Parser of one part of a set member, such as the port in ``192.0.2.1,tcp:80``, to numbers.

Input: text as in ``ipset save`` or ``ipset add``, the kind of the part, and the set type. Output of `alternatives`: an
`Element` for each value that the text covers, such as each port of a range.

Raises `ValueError` for text that does not fit. Source: ipset(8).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, summarize_address_range

from engine.rulesets.model import Family
from simulator.packets import protocol_names
from simulator.sets.set_types import SetDimension, SetType

BITS: Mapping[Family, int] = {Family.IPV4: 32, Family.IPV6: 128}

PHYSDEV = "physdev:"
"""Prefix of an interface that is a bridge port."""

_PORTED = frozenset({protocol_names.TCP, protocol_names.UDP, protocol_names.SCTP, protocol_names.UDPLITE})
"""Protocols whose ports a set stores."""

_PROTOCOLS: Mapping[str, int] = dict(
    zip(
        "ggp st pup hmp xns-idp rdp iso-tp4 xtp ddp idpr-cmtp idrp skip rspf vmtp ax.25 fc manet shim6 wesp rohc "
        "ethernet hip".split(),
        (3, 5, 12, 20, 22, 27, 29, 36, 37, 38, 45, 57, 73, 81, 93, 133, 138, 140, 141, 142, 143, 139),
        strict=True,
    )
)
"""Protocol names that ipset reads from ``/etc/protocols`` and iptables does not use."""


@dataclass(frozen=True, slots=True)
class Element:
    """One value of one dimension: a number, a network's prefix length, or an interface or MAC address as text."""

    value: int
    prefix: int = 0
    text: str = ""


def address_number(text: str, family: Family) -> int:
    """Parse an address as a number.

    Raises:
        ValueError: The text is not an address of the family.
    """
    return int(IPv4Address(text) if family is Family.IPV4 else IPv6Address(text))


def mask_of(text: str, family: Family) -> int:
    """Parse a prefix length; return its mask.

    Raises:
        ValueError: The text is not a prefix length of the family.
    """
    bits = BITS[family]
    return mask(protocol_names.number(text, bits), bits)


def mask(prefix: int, bits: int) -> int:
    """Return the mask of a prefix length."""
    return (1 << bits) - (1 << bits - prefix)


def ports(text: str) -> range:
    """Parse ``PORT`` or ``PORT-PORT``; a protocol in front is ignored.

    Raises:
        ValueError: it is neither.
    """
    low, dash, high = text.rpartition(":")[2].partition("-")
    first = protocol_names.number(low, 0xFFFF)
    last = protocol_names.number(high, 0xFFFF) if dash else first
    return range(min(first, last), max(first, last) + 1)


def alternatives(text: str, part: SetDimension, kind: SetType, family: Family, keep: int) -> Iterator[Element]:
    """Yield each value that a dimension's text covers.

    Args:
        text: The dimension's text.
        part: The kind of dimension.
        kind: The set type.
        family: The family of addresses.
        keep: Mask of the address bits that the set stores.

    Raises:
        ValueError: The text does not fit the dimension.
    """
    if part is SetDimension.IP:
        return (Element(number) for number in _addresses(text, family, keep))
    if part is SetDimension.PORT and kind.bitmap:
        return (Element(number) for number in ports(text))
    return iter(_READERS[part](text, family))


def _addresses(text: str, family: Family, keep: int) -> range:
    """Return the addresses of a range, one for each value that the set's mask keeps distinct."""
    low, dash, high = text.partition("-")
    address, _, prefix = low.partition("/")
    first = address_number(address, family)
    if not dash and not prefix:
        return range(first, first + 1)
    last = address_number(high, family) if dash else first
    if prefix:
        hosts = mask_of(prefix, family) ^ (1 << BITS[family]) - 1
        first, last = first & ~hosts, first | hosts
    step = (keep & -keep) or 1
    return range(min(first, last) & -step, max(first, last) + 1, step)


def _networks(text: str, family: Family) -> Iterable[Element]:
    low, dash, high = text.partition("-")
    if dash:
        first, last = sorted((address_number(low, family), address_number(high, family)))
        width = IPv4Address if family is Family.IPV4 else IPv6Address
        found = summarize_address_range(width(first), width(last))
        return tuple(Element(int(net.network_address), net.prefixlen) for net in found)
    address, slash, prefix = low.partition("/")
    bits = BITS[family]
    length = protocol_names.number(prefix, bits) if slash else bits
    return (Element(address_number(address, family) & mask(length, bits), length),)


def _transport(text: str, family: Family) -> Iterable[Element]:
    """Parse ``[PROTOCOL:]PORT[-PORT]``, or ``icmp:TYPE/CODE`` by number or name; the default protocol is TCP."""
    before, colon, after = text.partition(":")
    protocol = _protocol(before) if colon else protocol_names.TCP
    if protocol in protocol_names.ICMP_OF.values():
        kind, code, _ = protocol_names.icmp_range(after, family)
        return (Element(protocol << 16 | kind << 8 | code),)
    if protocol not in _PORTED:
        return (Element(protocol << 16),)
    return tuple(Element(protocol << 16 | port) for port in ports(after or before))


def _protocol(text: str) -> int:
    known = _PROTOCOLS.get(text.lower())
    return protocol_names.protocol_number(text) if known is None else known


def mac_number(text: str) -> int:
    """Parse a MAC address as a number.

    Raises:
        ValueError: The text is not a MAC address.
    """
    octets = [protocol_names.number(f"0x{octet}", 0xFF) for octet in text.split(":")]
    if len(octets) != 6:
        raise ValueError(text)
    return int.from_bytes(octets)


def _mac(text: str, _family: Family) -> Iterable[Element]:
    if not text:  # bitmap:ip,mac without a MAC address: the first packet sets it
        return (Element(0),)
    return (Element(mac_number(text), text=text.lower()),)


def _mark(text: str, _family: Family) -> Iterable[Element]:
    return (Element(protocol_names.number(text, 0xFFFFFFFF)),)


def _interface(text: str, _family: Family) -> Iterable[Element]:
    if not text.removeprefix(PHYSDEV):
        raise ValueError(text)
    return (Element(0, text=text),)


_READERS: Mapping[SetDimension, Callable[[str, Family], Iterable[Element]]] = {
    SetDimension.NET: _networks,
    SetDimension.PORT: _transport,
    SetDimension.MAC: _mac,
    SetDimension.MARK: _mark,
    SetDimension.IFACE: _interface,
}
