"""Matches on IPv6 extension headers: ah, dst, frag, hbh, ipv6header, mh, rt; and ah in IPv4.

`OPTIONS` and `GROUPS` map options and modules to definitions (`MatchOption`, `MatchGroup`), which the engines of the
simulator evaluate. The checks read the packet's bytes.

Source: iptables-extensions(8); the kernel's ip6t_ah, ip6t_frag, ip6t_hbh, ip6t_ipv6header, ip6t_mh, ip6t_rt, ipt_ah.
"""

from collections.abc import Callable, Mapping

from engine.rulesets.model import Family
from simulator.matches.base import (
    CheckReader,
    CompiledMatch,
    MatchGroup,
    MatchOption,
    OptionGroup,
    PacketCheck,
    Scope,
    Truth,
    always,
    bare,
    beyond,
    one,
    option,
    speaks,
    spelled,
    without_sets,
)
from simulator.matches.basic import address_number
from simulator.matches.breakpoints import READS_BYTES
from simulator.matches.formula import ON_THE_WIRE
from simulator.matches.transport_options import AH, ESP, NO_PAYLOAD, deeper, found_in, number_range
from simulator.packets import Packet, protocol_names

HOP, ROUTING, FRAGMENT, NONE, DESTINATION, MOBILITY = 0, 43, 44, 59, 60, 135

_BITS: Mapping[int, int] = {HOP: 128, DESTINATION: 64, ROUTING: 32, FRAGMENT: 16, AH: 8, ESP: 4, NONE: 2}
_PROTOCOL_BIT = 1

_HEADER_NAMES: Mapping[str, int] = {
    "hop": 128,
    "hop-by-hop": 128,
    "dst": 64,
    "ipv6-opts": 64,
    "route": 32,
    "ipv6-route": 32,
    "ah": 8,
    "auth": 8,
    "frag": 16,
    "ipv6-frag": 16,
    "esp": 4,
    "none": 2,
    "ipv6-nonxt": 2,
    "prot": 1,
    "proto": 1,
    "protocol": 1,
    "0": 128,
    "60": 64,
    "43": 32,
    "44": 16,
    "51": 8,
    "50": 4,
    "59": 2,
    "255": 1,
}

_MH_TYPES: Mapping[str, int] = {
    "binding-refresh-request": 0,
    "brr": 0,
    "home-test-init": 1,
    "hoti": 1,
    "careof-test-init": 2,
    "coti": 2,
    "home-test": 3,
    "hot": 3,
    "careof-test": 4,
    "cot": 4,
    "binding-update": 5,
    "bu": 5,
    "binding-acknowledgement": 6,
    "ba": 6,
    "binding-error": 7,
    "be": 7,
}

HeaderCheck = Callable[[bytes], Truth]
"""Check of the bytes of one header."""


def _about(protocol: int, least: int, ask: Callable[[str, Family], HeaderCheck]) -> CheckReader:
    """Return a reader of a check of an extension header.

    The scope of the module excludes packets without such a header. ``least`` is the minimum size in bytes.
    """

    def read(values: tuple[str, ...], family: Family) -> PacketCheck:
        question = ask(one(values) if values else "", family)

        def check(packet: Packet) -> Truth:
            header = _header(packet, protocol)
            return beyond(packet) if header is None or len(header) < least else question(header)

        return check

    return read


def _header(packet: Packet, protocol: int) -> bytes | None:
    found = found_in(packet)
    if found is None:
        return None
    if packet.family is Family.IPV6:
        return found.extension(protocol)
    return found.payload(12) if packet.protocol == protocol else None


def _has(protocol: int) -> Scope:
    return Scope(lambda packet: _header(packet, protocol) is not None)


def _within(
    at: int, size: int, scale: Callable[[int], int] = lambda value: value
) -> Callable[[str, Family], HeaderCheck]:
    """Return a parser of the check that a number of the header is in a range."""

    def ask(text: str, _family: Family) -> HeaderCheck:
        low, high = number_range(text, 0xFFFFFFFF)
        return lambda header: low <= scale(int.from_bytes(header[at : at + size])) <= high

    return ask


def _zero(at: int, size: int, mask: int = 0xFFFFFFFF) -> Callable[[str, Family], HeaderCheck]:
    return lambda _text, _family: lambda header: not int.from_bytes(header[at : at + size]) & mask


def _bit(mask: int, *, wanted: bool) -> Callable[[str, Family], HeaderCheck]:
    return lambda _text, _family: lambda header: bool(int.from_bytes(header[2:4]) & mask) is wanted


def _first(_text: str, _family: Family) -> HeaderCheck:
    return lambda header: not int.from_bytes(header[2:4]) & 0xFFF8


def _options(text: str, _family: Family) -> HeaderCheck:
    """Return the check for options in order from the start of the header, each a type and perhaps a length.

    Padding options count too.
    """
    wanted = [
        (protocol_names.number(kind, 0xFF), size) for kind, _, size in (word.partition(":") for word in text.split(","))
    ]

    def ask(header: bytes) -> Truth:
        at = 2
        for kind, size in wanted:
            if at >= len(header) or header[at] != kind:
                return False
            length = header[at + 1] if kind and at + 1 < len(header) else 0
            if kind and size and length != int(size, 0):
                return False
            at += 2 + length if kind else 1
        return True

    return ask


def _addresses(text: str, family: Family) -> HeaderCheck:
    """Return the check that a type 0 routing header has exactly these addresses in order."""
    wanted = [address_number(word, family).to_bytes(16) for word in text.split(",")]
    return lambda header: header[2] == 0 and header[8:] == b"".join(wanted)


def _header_list(group: OptionGroup, _family: Family) -> CompiledMatch:
    """Return the check for exactly these kinds of headers, or with ``--soft`` at least these."""
    wanted = option(group, "header")
    if wanted is None:
        raise ValueError(spelled(*group))
    bits = sum({_HEADER_NAMES.get(word.lower(), -1000) for word in one(wanted.values).split(",")})
    if bits < 0:
        raise ValueError(wanted.values)
    soft = option(group, "soft") is not None

    def check(packet: Packet) -> Truth:
        found = _headers_of(packet)
        if soft:
            return not found & bits if wanted.negated else found & bits == bits
        return (found == bits) is not wanted.negated

    return CompiledMatch(spelled(*group), check, "", made_up=NO_PAYLOAD)


def _headers_of(packet: Packet) -> int:
    """Return a bit for each kind of header in the packet; headers after ESP are invisible."""
    found = found_in(packet)
    if found is None:
        return 0
    bits = sum({_BITS[each.protocol] for each in found.extensions})
    return bits | _BITS.get(found.protocol, _PROTOCOL_BIT)


def _mh_type(values: tuple[str, ...], _family: Family) -> PacketCheck:
    text = one(values).lower()
    low, colon, high = text.partition(":")
    if text in _MH_TYPES:
        least = most = _MH_TYPES[text]
    else:
        least, most = number_range(f"{_MH_TYPES.get(low, low)}{colon}{_MH_TYPES.get(high, high)}", 0xFF)

    def check(packet: Packet) -> Truth:
        found = found_in(packet)
        header = found.payload(6) if found else None
        return beyond(packet) if header is None else least <= header[2] <= most

    return check


def _octets(value: int) -> int:
    return (value + 1) * 8


def _ah_octets(value: int) -> int:
    return (value + 2) * 4


def _module(
    name: str, protocol: int, options: Mapping[str, Callable[[str, Family], HeaderCheck]]
) -> Mapping[tuple[str, str], MatchOption]:
    least, scope = 12 if protocol == AH else 8, _has(protocol)
    found = {(name, ""): deeper(always, scope, made_up="")}
    for name_of_option, ask in options.items():
        found[name, name_of_option] = deeper(_about(protocol, least, ask), scope, "a whole extension header")
    return found


_MOBILE = speaks(MOBILITY)

OPTIONS: Mapping[tuple[str, str], MatchOption] = {
    **_module("ah", AH, {"ahspi": _within(4, 4), "ahlen": _within(1, 1, _ah_octets), "ahres": _zero(2, 2)}),
    **_module(
        "frag",
        FRAGMENT,
        {
            "fragid": _within(4, 4),
            "fragres": lambda _t, _f: lambda header: not (header[1] or header[3] & 6),
            "fragfirst": _first,
            "fragmore": _bit(1, wanted=True),
            "fraglast": _bit(1, wanted=False),
        },
    ),
    **_module("hbh", HOP, {"hbh-len": _within(1, 1, _octets), "hbh-opts": _options}),
    **_module("dst", DESTINATION, {"dst-len": _within(1, 1, _octets), "dst-opts": _options}),
    **_module(
        "rt",
        ROUTING,
        {
            "rt-type": _within(2, 1),
            "rt-segsleft": _within(3, 1),
            "rt-len": _within(1, 1, _octets),
            "rt-0-res": _zero(4, 4),
            "rt-0-addrs": _addresses,
        },
    ),
    ("mh", ""): bare(_MOBILE),
    ("mh", "mh-type"): deeper(_mh_type, _MOBILE, "a mobility header"),
}

GROUPS: Mapping[str, MatchGroup] = {
    "ipv6header": MatchGroup(evaluate=without_sets(_header_list), breakpoints=READS_BYTES, condition=ON_THE_WIRE)
}
