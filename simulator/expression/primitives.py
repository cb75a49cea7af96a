"""Parser of EXPR values: addresses, networks, ports, protocols, interfaces, connection states and marks.

`Qualifiers` holds the keywords before a value; `Qualifiers.read` parses the value into an `Expression` and raises
`WordsRefused`. Keywords apply to the next value too: ``tcp port 22 or 80`` means ``tcp port 22 or tcp port 80``.
Source: pcap-filter(7).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_address, ip_network

from engine.errors import safe_text
from engine.ip_types import Network
from engine.rulesets.model import Family
from simulator.expression import leaves
from simulator.expression.ast import Expression, Leaf, all_of, any_of
from simulator.expression.cursor import Cursor
from simulator.expression.vocabulary import FAMILIES, PROTOCOLS, SERVICES
from simulator.packets import ConnState, protocol_names

EITHER, BOTH = "either", "both"
"""Directions beside ``src`` and ``dst``: either side, or both sides."""

MASK = re.compile(r"mask(?![\w.:/-])")
_DOTTED = re.compile(r"(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){0,3}", re.ASCII)
_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]{1,8}|0|[1-9]\d{0,9}", re.ASCII)

_ADDRESS = "an IP address, such as 10.0.0.1 or fd00::1"
_NETWORK = "a network, such as 10.0.0.0/8, 192.168 or fd00::/8"
_PORT = "a port from 0 to 65535 or a service such as ssh"
_RANGE = "two ports with - between, such as 1-1023"
_PROTOCOL = "a protocol by name, such as tcp, or number from 1 to 255"
_INTERFACE = "an interface name of 1 to 15 characters; + at its end stands for any ending"
_STATES = "states with commas between: " + ", ".join(map(str.lower, leaves.STATES))
_MARK = "a number, or a number and a mask with / between"


@dataclass(frozen=True, slots=True)
class Qualifiers:
    """Keywords before an id: ``kind`` such as ``port``, a direction, and a protocol or family limit."""

    kind: str
    direction: str = EITHER
    protocol: str = ""

    def read(self, cursor: Cursor) -> Expression:
        """Parse one id.

        Raises:
            WordsRefused: These keywords do not accept the id.
        """
        return _READERS[self.kind](self, cursor)

    @property
    def family(self) -> Family | None:
        """Family that the keywords require, if any."""
        return FAMILIES.get(self.protocol)

    def sided(self, leaf_of: Callable[[str], Expression]) -> Expression:
        """Join the leaves of the sides that the direction names."""
        if self.direction in leaves.SIDES:
            return leaf_of(self.direction)
        join = all_of if self.direction == BOTH else any_of
        return join(*map(leaf_of, leaves.SIDES))


def _host(asked: Qualifiers, cursor: Cursor) -> Expression:
    at, word = cursor.at, cursor.run
    if "/" in word or word.isdigit():
        hint = "net ahead of a network" if "/" in word else "an address or port, proto ahead of a number"
        raise cursor.refused(f"{_ADDRESS}; {hint}")
    network = _network(word)
    if network is None:
        named = re.fullmatch(r"[A-Za-z][\w.-]*", word)
        raise cursor.refused(_ADDRESS, f"found {safe_text(word)}; host names are not looked up" if named else "")
    cursor.take_run()
    return _of_network(asked, cursor, at, network)


def _net(asked: Qualifiers, cursor: Cursor) -> Expression:
    at, word = cursor.at, cursor.run
    network = _network(word)
    if network is None:
        raise cursor.refused(_NETWORK, _bits_outside(word))
    cursor.take_run()
    if not cursor.take(MASK):
        return _of_network(asked, cursor, at, network)
    if network.version == 6 or "/" in word:
        raise cursor.refused("an IPv4 network without a length ahead of mask", at=at)
    return _masked(asked, cursor, at, int(network.network_address))


def _masked(asked: Qualifiers, cursor: Cursor, at: int, address: int) -> Expression:
    mask = _short(cursor.run)
    if mask is None:
        raise cursor.refused("a mask, such as 255.255.0.0")
    cursor.take_run()
    bits = int(mask.network_address)
    if address & ~bits:
        raise cursor.refused("an address without bits outside the mask", at=at)
    if asked.family is Family.IPV6:
        raise cursor.refused("an address of IPv6 behind ip6", at=at)
    return asked.sided(lambda side: leaves.of_masked(side, address, bits))


def _of_network(asked: Qualifiers, cursor: Cursor, at: int, network: Network) -> Expression:
    family = Family.IPV4 if network.version == 4 else Family.IPV6
    if asked.family not in {None, family}:
        raise cursor.refused(f"an address of {asked.family} behind {asked.protocol}", at=at)
    return asked.sided(lambda side: leaves.of_network(side, network))


def _network(text: str) -> Network | None:
    """Parse a network, a full address, or the leading numbers of an IPv4 address; host bits must be zero."""
    start, slash, length = text.partition("/")
    if slash and not re.fullmatch(r"\d{1,3}", length, re.ASCII):
        return None
    short = _short(start)
    try:
        if short is None:
            return ip_network(text) if "%" not in text and ":" in text else None
        return IPv4Network(f"{short.network_address}/{length}") if slash else short
    except ValueError:
        return None


def _short(text: str) -> IPv4Network | None:
    """Parse ``10`` as 10.0.0.0/8 and ``192.168`` as 192.168.0.0/16; a lone 0 is the address 0.0.0.0, as in libpcap."""
    if not _DOTTED.fullmatch(text):
        return None
    parts = text.split(".")
    length = 32 if text == "0" else 8 * len(parts)
    try:
        return IPv4Network(".".join([*parts, *["0"] * (4 - len(parts))]) + f"/{length}")
    except ValueError:
        return None


def _bits_outside(word: str) -> str:
    try:
        network = ip_network(word, strict=False)
        ip_address(word.partition("/")[0])
    except ValueError:
        return ""
    return f"found {safe_text(word)}, which has bits behind its length: the network is {network}"


def number(text: str, highest: int) -> int | None:
    """Parse a number; None if it is not one or too high. A leading 0 is refused, as only libpcap reads it as octal."""
    if not _NUMBER.fullmatch(text):
        return None
    value = int(text, 16 if text[:2].lower() == "0x" else 10)
    return value if value <= highest else None


def _port(asked: Qualifiers, cursor: Cursor) -> Expression:
    word = cursor.run
    port, protocols = SERVICES.get(word, (number(word, leaves.MOST_PORT), tuple(leaves.PORTED)))
    if port is None:
        raise cursor.refused(_PORT)
    if asked.protocol and asked.protocol not in protocols:
        raise cursor.refused(f"a port of {asked.protocol}; {word} is one of {', '.join(protocols)}")
    cursor.take_run()
    return _ports(asked, protocols, port, port)


def _portrange(asked: Qualifiers, cursor: Cursor) -> Expression:
    low_text, dash, high_text = cursor.run.partition("-")
    low, high = number(low_text, leaves.MOST_PORT), number(high_text if dash else low_text, leaves.MOST_PORT)
    if low is None or high is None:
        raise cursor.refused(_RANGE)
    cursor.take_run()
    return _ports(asked, tuple(leaves.PORTED), min(low, high), max(low, high))


def _ports(asked: Qualifiers, protocols: tuple[str, ...], low: int, high: int) -> Expression:
    meant = [asked.protocol] if asked.protocol else protocols
    return any_of(*(asked.sided(_of_ports(name, low, high)) for name in meant))


def _of_ports(name: str, low: int, high: int) -> Callable[[str], Leaf]:
    return lambda side: leaves.of_ports(name, side, low, high)


def _proto(asked: Qualifiers, cursor: Cursor) -> Expression:
    """Parse a protocol; libpcap needs a backslash before a name that is a keyword, here it is optional."""
    word = cursor.run.removeprefix("\\")
    known = PROTOCOLS[word][0] if word in PROTOCOLS else protocol_names.PROTOCOLS.get(word, number(word, 255))
    if not known:
        raise cursor.refused(_PROTOCOL, "protocol 0 cannot be asked for by iptables" if known == 0 else "")
    cursor.take_run()
    return leaves.of_protocol(known, asked.family)


def _interface(asked: Qualifiers, cursor: Cursor) -> Expression:
    """Check a name as ``dev_valid_name`` of the kernel does; "+" alone would match every interface."""
    word = cursor.run
    if not 0 < len(word) < 16 or word in {".", ".."} or not word.isprintable() or set(word) & set("/:"):
        raise cursor.refused(_INTERFACE)
    cursor.take_run()
    return leaves.of_interface(asked.kind, word)


def _ctstate(_asked: Qualifiers, cursor: Cursor) -> Expression:
    words = cursor.run.split(",")
    if not _STATE_WORDS.issuperset(words):
        raise cursor.refused(_STATES)
    cursor.take_run()
    return leaves.of_states(frozenset(ConnState(word.upper()) for word in words))


_STATE_WORDS = frozenset(map(str.lower, leaves.STATES))


def _mark(_asked: Qualifiers, cursor: Cursor) -> Expression:
    value_text, slash, mask_text = cursor.run.partition("/")
    value, mask = number(value_text, 0xFFFFFFFF), number(mask_text if slash else "0xffffffff", 0xFFFFFFFF)
    if value is None or mask is None:
        raise cursor.refused(_MARK)
    if value & ~mask:
        raise cursor.refused(_MARK, "a mark with bits outside its mask never holds")
    cursor.take_run()
    return leaves.of_mark(value, mask)


_READERS: Mapping[str, Callable[[Qualifiers, Cursor], Expression]] = {
    "host": _host,
    "net": _net,
    "port": _port,
    "portrange": _portrange,
    "proto": _proto,
    "in": _interface,
    "out": _interface,
    "ctstate": _ctstate,
    "mark": _mark,
}

EXTENSIONS = frozenset({"in", "out", "ctstate", "mark"})
"""Kinds that pcap-filter(7) does not have."""
