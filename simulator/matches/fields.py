"""Matches on other fields: mark, length, ttl, hl, tos, dscp, ecn, mac, iprange, comment.

Source: iptables-extensions(8).
"""

from collections.abc import Callable, Mapping

from engine.rulesets.model import Family
from simulator.matches.base import MatchEvaluator, PacketCheck, always, one
from simulator.matches.basic import address_number
from simulator.packets import Address, Packet, protocol_names

MARK_BITS = 0xFFFFFFFF


def mark_and_mask(text: str) -> tuple[int, int]:
    """Read ``VALUE`` or ``VALUE/MASK``.

    Raises:
        ValueError: it is neither, or a number has more than 32 bits.
    """
    value, slash, mask = text.partition("/")
    return protocol_names.number(value, MARK_BITS), protocol_names.number(mask, MARK_BITS) if slash else MARK_BITS


def _mark(values: tuple[str, ...], _family: Family) -> PacketCheck:
    value, mask = mark_and_mask(one(values))
    return lambda packet: packet.mark & mask == value


def _length(values: tuple[str, ...], _family: Family) -> PacketCheck:
    low, colon, high = one(values).partition(":")
    least = protocol_names.number(low or "0", 0xFFFF)
    most = protocol_names.number(high or "65535", 0xFFFF) if colon else least
    return lambda packet: None if packet.length is None else least <= packet.length <= most


def _ttl(compare: Callable[[int, int], bool]) -> Callable[[tuple[str, ...], Family], PacketCheck]:
    def read(values: tuple[str, ...], _family: Family) -> PacketCheck:
        limit = protocol_names.number(one(values), 0xFF)
        return lambda packet: compare(packet.ttl, limit)

    return read


def _mac_source(values: tuple[str, ...], _family: Family) -> PacketCheck:
    mac = one(values).lower()
    return lambda packet: None if packet.mac is None else packet.mac == mac


def _within(side: Callable[[Packet], Address]) -> Callable[[tuple[str, ...], Family], PacketCheck]:
    def read(values: tuple[str, ...], family: Family) -> PacketCheck:
        low, dash, high = one(values).partition("-")
        first = address_number(low, family)
        last = address_number(high, family) if dash else first
        return lambda packet: first <= int(side(packet)) <= last

    return read


def _tos(values: tuple[str, ...], _family: Family) -> PacketCheck:
    text = one(values)
    tos, mask = tos_and_mask(text)
    return lambda packet: packet.tos & mask == tos


def tos_and_mask(text: str) -> tuple[int, int]:
    """Read ``VALUE``, ``VALUE/MASK`` or a name of the old type of service, which leaves the other bits alone.

    Raises:
        ValueError: it is none of them.
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
    """Read a DiffServ class by name (RFC 2474, 2597, 3246).

    Raises:
        ValueError: it is none.
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


def _dscp(values: tuple[str, ...], _family: Family) -> PacketCheck:
    wanted = protocol_names.number(one(values), 0x3F)
    return lambda packet: packet.tos >> 2 == wanted


def _dscp_class(values: tuple[str, ...], _family: Family) -> PacketCheck:
    wanted = dscp_class(one(values))
    return lambda packet: packet.tos >> 2 == wanted


def _ecn_ip(values: tuple[str, ...], _family: Family) -> PacketCheck:
    wanted = protocol_names.number(one(values), 3)
    return lambda packet: packet.tos & 3 == wanted


def _flag(flag: str) -> MatchEvaluator:
    read = lambda _values, _family: lambda packet: flag in packet.flags  # noqa: E731 - a reader as the others
    return MatchEvaluator(read, lambda packet: packet.protocol == protocol_names.TCP and not packet.fragment)


_BARE = MatchEvaluator(always)
_EQUAL = MatchEvaluator(_ttl(lambda ttl, limit: ttl == limit))
_LESS = MatchEvaluator(_ttl(lambda ttl, limit: ttl < limit))
_GREATER = MatchEvaluator(_ttl(lambda ttl, limit: ttl > limit))

EVALUATORS: Mapping[tuple[str, str], MatchEvaluator] = {
    **{(module, ""): _BARE for module in ("comment", "dscp", "ecn", "hl", "iprange", "length", "mac", "mark", "tos")},
    **{(module, ""): _BARE for module in ("set", "ttl")},
    ("comment", "comment"): _BARE,
    ("mark", "mark"): MatchEvaluator(_mark),
    ("length", "length"): MatchEvaluator(_length, needs="the length"),
    ("ttl", "ttl-eq"): _EQUAL,
    ("ttl", "ttl-lt"): _LESS,
    ("ttl", "ttl-gt"): _GREATER,
    ("hl", "hl-eq"): _EQUAL,
    ("hl", "hl-lt"): _LESS,
    ("hl", "hl-gt"): _GREATER,
    ("tos", "tos"): MatchEvaluator(_tos),
    ("dscp", "dscp"): MatchEvaluator(_dscp),
    ("dscp", "dscp-class"): MatchEvaluator(_dscp_class),
    ("ecn", "ecn-ip-ect"): MatchEvaluator(_ecn_ip),
    ("ecn", "ecn-tcp-ece"): _flag("ECE"),
    ("ecn", "ecn-tcp-cwr"): _flag("CWR"),
    ("mac", "mac-source"): MatchEvaluator(_mac_source, needs="the MAC address"),
    ("iprange", "src-range"): MatchEvaluator(_within(lambda packet: packet.src)),
    ("iprange", "dst-range"): MatchEvaluator(_within(lambda packet: packet.dst)),
}
