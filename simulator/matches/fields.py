"""Matches on single packet fields: mark, length, ttl, hl, tos, dscp, ecn, mac, iprange, comment.

`OPTIONS` maps each option to its definition (`MatchOption`), which the engines of the simulator evaluate. The parsers
of arguments, which targets such as MARK use too, raise `ValueError`. Source: iptables-extensions(8).
"""

from collections.abc import Callable, Mapping
from operator import attrgetter

from engine.rulesets.model import Family
from simulator.matches.base import EVERYWHERE, CheckReader, Condition, MatchOption, PacketCheck, Scope, bare, one
from simulator.matches.basic import address_number
from simulator.matches.breakpoints import NO_RANGES, ValueKind
from simulator.matches.formula import MaskedBits, NameCondition, Not
from simulator.matches.numeric import Number, Ranges, ReadRanges, has_bits, in_ranges
from simulator.matches.transport import TCP
from simulator.packets import Packet, protocol_names

MARK_BITS = 0xFFFFFFFF


def mark_and_mask(text: str) -> tuple[int, int]:
    """Parse ``VALUE`` or ``VALUE/MASK``.

    Raises:
        ValueError: the text has another form, or a number has more than 32 bits.
    """
    value, slash, mask = text.partition("/")
    return protocol_names.number(value, MARK_BITS), protocol_names.number(mask, MARK_BITS) if slash else MARK_BITS


def _lengths(text: str, _family: Family) -> Ranges:
    low, colon, high = text.partition(":")
    least = protocol_names.number(low or "0", 0xFFFF)
    return _range(least, protocol_names.number(high or "65535", 0xFFFF) if colon else least)


def _range(low: int, high: int) -> Ranges:
    return ((low, high),) if low <= high else ()


def _limits(low: int, high: int) -> ReadRanges:
    """Return a parser of the ranges at, below or above a limit.

    Both bounds are offsets from the limit. A negative ``low`` means from 0, a positive ``high`` means up to 255.
    """

    def read(text: str, _family: Family) -> Ranges:
        limit = protocol_names.number(text, 0xFF)
        return _range(0 if low < 0 else limit + low, 0xFF if high > 0 else limit + high)

    return read


def _addresses(text: str, family: Family) -> Ranges:
    low, dash, high = text.partition("-")
    first = address_number(low, family)
    return _range(first, address_number(high, family) if dash else first)


def _mac_source(values: tuple[str, ...], _family: Family) -> PacketCheck:
    mac = one(values).lower()
    return lambda packet: None if packet.mac is None else packet.mac == mac


def tos_and_mask(text: str) -> tuple[int, int]:
    """Parse ``VALUE``, ``VALUE/MASK`` or a name of the old type of service, which leaves other bits alone.

    Raises:
        ValueError: the text has another form.
    """
    if text.lower() in _TOS_NAMES:
        return _TOS_NAMES[text.lower()], 0x3F
    value, slash, mask = text.partition("/")
    return protocol_names.number(value, 0xFF), protocol_names.number(mask, 0xFF) if slash else 0xFF


_TOS_NAMES: Mapping[str, int] = {
    "minimize-delay": 0x10,
    "maximize-throughput": 0x08,
    "maximize-reliability": 0x04,
    "minimize-cost": 0x02,
    "normal-service": 0,
}


def dscp_class(text: str) -> int:
    """Parse the name of a DiffServ class (RFC 2474, 2597, 3246).

    Raises:
        ValueError: there is no class with that name.
    """
    name = text.upper()
    if name in {"BE", "EF"}:
        return {"BE": 0, "EF": 46}[name]
    kind, number = name[:2], protocol_names.number(name[2:], 43)
    if kind == "CS" and number < 8:
        return number * 8
    if kind == "AF" and number // 10 in range(1, 5) and number % 10 in range(1, 4):
        return number // 10 * 8 + number % 10 * 2
    raise ValueError(text)


def _flag(flag: str, bit: int) -> MatchOption:
    read: CheckReader = lambda _values, _family: lambda packet: flag in packet.flags  # noqa: E731 - a short reader, like the others
    return _few(read, lambda _values, _family: MaskedBits("flags", bit, bit), TCP)


def _few(evaluate: CheckReader, condition: Condition, scope: Scope = EVERYWHERE, needs: str = "") -> MatchOption:
    """Return the definition of a match on a field with few values."""
    return MatchOption(evaluate=evaluate, breakpoints=NO_RANGES, condition=condition, scope=scope, needs=needs)


_BARE = bare()
_TTL: Number = attrgetter("ttl")
_EQUAL = in_ranges("ttl", _TTL, _limits(0, 0))
_LESS = in_ranges("ttl", _TTL, _limits(-1, -1))
_GREATER = in_ranges("ttl", _TTL, _limits(1, 1))
_TOS: Callable[[Packet], int] = attrgetter("tos")

OPTIONS: Mapping[tuple[str, str], MatchOption] = {
    **{(module, ""): _BARE for module in ("comment", "dscp", "ecn", "hl", "iprange", "length", "mac", "mark", "tos")},
    ("ttl", ""): _BARE,
    ("comment", "comment"): _BARE,
    ("mark", "mark"): has_bits("mark", attrgetter("mark"), mark_and_mask),
    ("length", "length"): in_ranges("length", attrgetter("length"), _lengths, ValueKind.NUMBER, needs="the length"),
    ("ttl", "ttl-eq"): _EQUAL,
    ("ttl", "ttl-lt"): _LESS,
    ("ttl", "ttl-gt"): _GREATER,
    ("hl", "hl-eq"): _EQUAL,
    ("hl", "hl-lt"): _LESS,
    ("hl", "hl-gt"): _GREATER,
    ("tos", "tos"): has_bits("tos", _TOS, tos_and_mask),
    ("dscp", "dscp"): has_bits("tos", _TOS, lambda text: (protocol_names.number(text, 0x3F) << 2, 0xFC)),
    ("dscp", "dscp-class"): has_bits("tos", _TOS, lambda text: (dscp_class(text) << 2, 0xFC)),
    ("ecn", "ecn-ip-ect"): has_bits("tos", _TOS, lambda text: (protocol_names.number(text, 3), 3)),
    ("ecn", "ecn-tcp-ece"): _flag("ECE", 0x40),
    ("ecn", "ecn-tcp-cwr"): _flag("CWR", 0x80),
    ("mac", "mac-source"): _few(
        _mac_source,
        lambda values, _family: NameCondition("mac", one(values).lower()),
        Scope(None, Not(NameCondition("mac", ""))),
        "the MAC address",
    ),
    ("iprange", "src-range"): in_ranges("src", lambda packet: int(packet.src), _addresses, ValueKind.ADDRESS),
    ("iprange", "dst-range"): in_ranges("dst", lambda packet: int(packet.dst), _addresses, ValueKind.ADDRESS),
}
