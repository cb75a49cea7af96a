"""Matches on other fields: conntrack, state, mark, length, ttl, hl, mac, iprange, comment.

Source: iptables-extensions(8).
"""

from collections.abc import Callable, Mapping

from engine.ruleset import Family
from simulator.matches.base import Check, Evaluator, one
from simulator.matches.basic import address_number
from simulator.packets import Address, ConnState, Packet, names

_NAT_STATES = frozenset({"SNAT", "DNAT"})

MARK_BITS = 0xFFFFFFFF


def mark_and_mask(text: str) -> tuple[int, int]:
    """Read ``VALUE`` or ``VALUE/MASK``.

    Raises:
        ValueError: it is neither, or a number has more than 32 bits.
    """
    value, slash, mask = text.partition("/")
    return names.number(value, MARK_BITS), names.number(mask, MARK_BITS) if slash else MARK_BITS


def _states(values: tuple[str, ...], _family: Family) -> Check:
    """``SNAT`` and ``DNAT`` tell how the connection was rewritten, which a packet does not say."""
    words = frozenset(one(values).upper().split(","))
    states = frozenset(ConnState(word) for word in words - _NAT_STATES)
    if not words & _NAT_STATES:
        return lambda packet: packet.state in states
    without_connection = {ConnState.INVALID, ConnState.UNTRACKED}
    return lambda packet: True if packet.state in states else False if packet.state in without_connection else None


def _mark(values: tuple[str, ...], _family: Family) -> Check:
    value, mask = mark_and_mask(one(values))
    return lambda packet: packet.mark & mask == value


def _length(values: tuple[str, ...], _family: Family) -> Check:
    low, colon, high = one(values).partition(":")
    least = names.number(low or "0", 0xFFFF)
    most = names.number(high or "65535", 0xFFFF) if colon else least
    return lambda packet: None if packet.length is None else least <= packet.length <= most


def _ttl(compare: Callable[[int, int], bool]) -> Callable[[tuple[str, ...], Family], Check]:
    def read(values: tuple[str, ...], _family: Family) -> Check:
        limit = names.number(one(values), 0xFF)
        return lambda packet: compare(packet.ttl, limit)

    return read


def _mac_source(values: tuple[str, ...], _family: Family) -> Check:
    mac = one(values).lower()
    return lambda packet: None if packet.mac is None else packet.mac == mac


def _within(side: Callable[[Packet], Address]) -> Callable[[tuple[str, ...], Family], Check]:
    def read(values: tuple[str, ...], family: Family) -> Check:
        low, dash, high = one(values).partition("-")
        first = address_number(low, family)
        last = address_number(high, family) if dash else first
        return lambda packet: first <= int(side(packet)) <= last

    return read


def _always(_values: tuple[str, ...], _family: Family) -> Check:
    return lambda _packet: True


_NAT = "the connection's address translation"
_BARE = Evaluator(_always)
_EQUAL = Evaluator(_ttl(lambda ttl, limit: ttl == limit))
_LESS = Evaluator(_ttl(lambda ttl, limit: ttl < limit))
_GREATER = Evaluator(_ttl(lambda ttl, limit: ttl > limit))

EVALUATORS: Mapping[tuple[str, str], Evaluator] = {
    **{(module, ""): _BARE for module in ("comment", "conntrack", "hl", "iprange", "length", "mac", "mark")},
    **{(module, ""): _BARE for module in ("set", "state", "ttl")},
    ("comment", "comment"): _BARE,
    ("conntrack", "ctstate"): Evaluator(_states, needs=_NAT),
    ("state", "state"): Evaluator(_states, needs=_NAT),
    ("mark", "mark"): Evaluator(_mark),
    ("length", "length"): Evaluator(_length, needs="the length"),
    ("ttl", "ttl-eq"): _EQUAL,
    ("ttl", "ttl-lt"): _LESS,
    ("ttl", "ttl-gt"): _GREATER,
    ("hl", "hl-eq"): _EQUAL,
    ("hl", "hl-lt"): _LESS,
    ("hl", "hl-gt"): _GREATER,
    ("mac", "mac-source"): Evaluator(_mac_source, needs="the MAC address"),
    ("iprange", "src-range"): Evaluator(_within(lambda packet: packet.src)),
    ("iprange", "dst-range"): Evaluator(_within(lambda packet: packet.dst)),
}
