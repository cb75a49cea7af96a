"""Builds `Leaf` values, the smallest conditions of an EXPR (packet filter expression), from iptables matches.

Input: values such as a network or a port. Output: a `Leaf`, whose matches have the spelling of iptables-save.
:mod:`simulator.expression.unparse` turns a leaf back into text. Source: iptables(8) and iptables-extensions(8).
"""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from engine.ip_types import Network
from engine.rulesets.model import Family, Match
from simulator.expression.ast import Leaf
from simulator.packets import TCP_FLAGS, ConnState, protocol_names

SIDES: Mapping[str, str] = {"src": "source", "dst": "destination"}
"""iptables option for an address, by the EXPR word for the side."""

PORT_OPTIONS: Mapping[str, str] = {"src": "sport", "dst": "dport"}

PORTED: Mapping[str, int] = {"tcp": protocol_names.TCP, "udp": protocol_names.UDP, "sctp": protocol_names.SCTP}
"""Protocols whose ports an expression can name."""

STATES = (ConnState.INVALID, ConnState.NEW, ConnState.RELATED, ConnState.ESTABLISHED, ConnState.UNTRACKED)
"""Connection states in the order of iptables-save."""

MOST_LENGTH = MOST_PORT = 0xFFFF
IPV4_MASK = 0xFFFFFFFF

MULTICAST: Mapping[Family, Network] = {Family.IPV4: IPv4Network("224.0.0.0/3"), Family.IPV6: IPv6Network("ff00::/8")}

_FIRST_SIX = TCP_FLAGS[:6]
_ECN_FLAGS: Mapping[str, str] = {"ecn-tcp-ece": "ECE", "ecn-tcp-cwr": "CWR"}
"""TCP flags that ``--tcp-flags`` cannot name, by the option that can."""

ECN_BITS: Mapping[str, int] = {option: 1 << TCP_FLAGS.index(flag) for option, flag in _ECN_FLAGS.items()}


def of_family(family: Family) -> Leaf:
    """Return a leaf for every packet of a family."""
    return Leaf((), family)


def of_network(side: str, network: Network) -> Leaf:
    """Return a leaf for a side (``src`` or ``dst``) in a network."""
    family = Family.IPV4 if network.version == 4 else Family.IPV6
    return Leaf((Match("", SIDES[side], (str(network),)),), family)


def of_masked(side: str, address: int, mask: int) -> Leaf:
    """Return a leaf for the masked bits of a side's IPv4 address; the mask may have gaps."""
    length = mask.bit_count()
    if mask == IPV4_MASK >> (32 - length) << (32 - length):
        return of_network(side, IPv4Network((address, length)))
    return Leaf((Match("", SIDES[side], (f"{IPv4Address(address)}/{IPv4Address(mask)}",)),), Family.IPV4)


def of_protocol(number: int, family: Family | None = None) -> Leaf:
    """Return a leaf for a protocol other than 0, which iptables cannot match."""
    return Leaf((protocol(number, family),), family)


def protocol(number: int, family: Family | None = None) -> Match:
    """Return the match on a protocol."""
    return Match("", "protocol", (protocol_names.protocol_name(number, family or Family.IPV4),))


def of_ports(name: str, side: str, low: int, high: int) -> Leaf:
    """Return a leaf for a port range of one side and one protocol of `PORTED`."""
    return Leaf((protocol(PORTED[name]), Match(name, PORT_OPTIONS[side], (span(low, high),))))


def span(low: int, high: int) -> str:
    """Return a range in the spelling of iptables-save."""
    return str(low) if low == high else f"{low}:{high}"


def of_lengths(low: int, high: int) -> Leaf:
    """Return a leaf for a range of IP packet lengths in bytes."""
    return Leaf((Match("length", "length", (span(low, high),)),))


def of_flags(mask: int, wanted: int) -> Leaf:
    """Return a leaf for IPv4 TCP packets with exactly these flags among the masked ones; mask 0 means any TCP."""
    matches = [protocol(protocol_names.TCP)]
    if mask & 0x3F:
        matches.append(Match("tcp", "tcp-flags", (_flag_words(mask), _flag_words(wanted))))
    matches += [Match("ecn", option, (), not wanted & bit) for option, bit in ECN_BITS.items() if mask & bit]
    return Leaf(tuple(matches) if mask else (*matches, Match("tcp", "")), Family.IPV4)


def _flag_words(bits: int) -> str:
    return ",".join(flag for place, flag in enumerate(_FIRST_SIX) if bits >> place & 1) or "NONE"


ICMP_MODULES: Mapping[Family, str] = {Family.IPV4: "icmp", Family.IPV6: "icmp6"}
ICMP_OPTIONS: Mapping[Family, str] = {Family.IPV4: "icmp-type", Family.IPV6: "icmpv6-type"}


def of_icmp(family: Family, text: str = "", *, negated: bool = False) -> Leaf:
    """Return a leaf for an ICMP ``TYPE`` or ``TYPE/CODE``, or for any; fragments after the first never match."""
    module = ICMP_MODULES[family]
    asked = Match(module, ICMP_OPTIONS[family], (text,), negated) if text else Match(module, "")
    return Leaf((protocol(protocol_names.ICMP_OF[family], family), asked), family)


TTL_MODULES: Mapping[Family, str] = {Family.IPV4: "ttl", Family.IPV6: "hl"}


def of_ttl(family: Family, relation: str, number: int) -> Leaf:
    """Return a leaf for a TTL or hop limit ``eq``, ``lt`` or ``gt`` a number."""
    module = TTL_MODULES[family]
    return Leaf((Match(module, f"{module}-{relation}", (str(number),)),), family)


def of_tos(value: int, mask: int) -> Leaf:
    """Return a leaf for the masked bits of the IPv4 type of service."""
    return Leaf((Match("tos", "tos", (f"{value:#04x}/{mask:#04x}",)),), Family.IPV4)


FRAGMENT = Leaf((Match("", "fragment"),), Family.IPV4)
"""Leaf for an IPv4 fragment other than the first."""


def of_interface(word: str, name: str) -> Leaf:
    """Return a leaf for the input (``in``) or output (``out``) interface; a trailing ``+`` is a wildcard."""
    return Leaf((Match("", f"{word}-interface", (name,)),))


def of_states(states: frozenset[ConnState]) -> Leaf:
    """Return a leaf for any of these connection states."""
    return Leaf((Match("conntrack", "ctstate", (",".join(each for each in STATES if each in states),)),))


def of_mark(value: int, mask: int) -> Leaf:
    """Return a leaf for the masked bits of the packet's mark."""
    return Leaf((Match("mark", "mark", (f"{value:#x}" if mask == 0xFFFFFFFF else f"{value:#x}/{mask:#x}",)),))
