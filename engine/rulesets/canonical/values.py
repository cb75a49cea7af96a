"""Tables of functions that convert option values of matches and targets to one canonical spelling.

`REWRITES` (matches) and `TARGET_REWRITES` (targets) have one function per module and option. Input: a `Match` (an
option with its values) and a `Family`. Output: the option in canonical spelling, or None if it has its default value
and can be left out. Raises ``ValueError`` for values that are not understood; the caller then keeps the option
unchanged.

Sources: iptables(8), iptables-extensions(8), and what the ``save`` functions of iptables 1.8.9 to 1.8.13 print.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from engine.rulesets.canonical.icmp import icmp_range, is_any_icmp
from engine.rulesets.canonical.numbers import (
    address_number,
    address_word,
    masked,
    masked_word,
    number,
    port_range,
    protocol_number,
    protocol_word,
    rate_period,
    rate_word,
)
from engine.rulesets.model import Family, Match

Rewrite = Callable[[Match, Family], Match | None]

_MARK_BITS = 0xFFFFFFFF
_STATES = ("INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT")
_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")
_SYN = ("FIN,SYN,RST,ACK", "SYN")
_U32_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|\d+")
_U32_ONE = re.compile(r"(0x[0-9a-f]+):\1(?![0-9a-f])")


def _only(match: Match) -> str:
    (value,) = match.values
    return value


def _with(match: Match, *values: str) -> Match:
    return match if match.values == values else replace(match, values=values)


def _each(words: str, read: Callable[[str], str]) -> str:
    return ",".join(read(word) for word in words.split(","))


def _address(match: Match, family: Family) -> Match | None:
    """Several addresses stand for one rule each, in their order."""
    found = _each(_only(match), lambda word: masked_word(masked(word, family), family))
    everywhere = found.endswith("/0") and "," not in found and not match.negated
    return None if everywhere else _with(match, found)


def _interface(match: Match, _family: Family) -> Match | None:
    return None if match.values == ("+",) and not match.negated else match


def _protocol(match: Match, _family: Family) -> Match | None:
    found = protocol_number(_only(match))
    return None if found == 0 and not match.negated else _with(match, protocol_word(found))


def _tracked_protocol(match: Match, _family: Family) -> Match:
    return _with(match, str(protocol_number(_only(match))))


def _ports(match: Match, _family: Family) -> Match | None:
    low, high = port_range(_only(match))
    if (low, high) == (0, 0xFFFF) and not match.negated:
        return None
    return _with(match, _span(low, high))


def _port_list(match: Match, _family: Family) -> Match:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(map(port_range, _only(match).split(","))):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return _with(match, ",".join(_span(low, high) for low, high in merged))


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}:{high}"


def _range(most: int) -> Rewrite:
    def rewrite(match: Match, _family: Family) -> Match:
        low_text, colon, high_text = _only(match).partition(":")
        low = number(low_text or "0", most)
        high = number(high_text or str(most), most) if colon else low
        return _with(match, _span(low, high))

    return rewrite


def _number(most: int) -> Rewrite:
    return lambda match, _family: _with(match, str(number(_only(match), most)))


def _tcp_flags(match: Match, _family: Family) -> Match:
    examined, wanted = match.values
    return _with(match, _flags(examined), _flags(wanted))


def _flags(text: str) -> str:
    words = {word.upper() for word in text.split(",")}
    if "ALL" in words:
        words = set(_FLAGS)
    return _ordered(words - {"NONE"}, _FLAGS) or "NONE"


def _syn(match: Match, _family: Family) -> Match:
    return replace(match, option="tcp-flags", values=_SYN)


def _icmp_type(match: Match, family: Family) -> Match:
    text = _only(match)
    if is_any_icmp(text, family):
        return _with(match, "any")
    kind, low, high = icmp_range(text, family)
    return _with(match, str(kind) if (low, high) == (0, 255) else f"{kind}/{low}")


def _states(match: Match, _family: Family) -> Match:
    words = {word.upper() for word in _only(match).split(",")}
    return replace(match, module="conntrack", option="ctstate", values=(_ordered(words, _STATES),))


def _ordered(words: Iterable[str], order: tuple[str, ...]) -> str:
    """Raise ValueError where a word is none of those."""
    return ",".join(sorted(words, key=order.index))


def _words(match: Match, _family: Family) -> Match:
    return _with(match, ",".join(sorted({word.upper() for word in _only(match).split(",")})))


def _upper(match: Match, _family: Family) -> Match:
    return _with(match, _only(match).upper())


def _lower(match: Match, _family: Family) -> Match:
    return _with(match, _only(match).lower())


def _mark(match: Match, _family: Family) -> Match:
    value, slash, mask = _only(match).partition("/")
    wide = number(mask, _MARK_BITS) if slash else _MARK_BITS
    text = f"{number(value, _MARK_BITS):#x}"
    return _with(match, text if wide == _MARK_BITS else f"{text}/{wide:#x}")


def _dscp(match: Match, _family: Family) -> Match:
    return _with(match, f"{number(_only(match), 0x3F):#04x}")


def _address_range(match: Match, family: Family) -> Match:
    low, dash, high = _only(match).partition("-")
    first = address_number(low, family)
    last = address_number(high, family) if dash else first
    return _with(match, f"{address_word(first, family)}-{address_word(last, family)}")


def _u32(match: Match, _family: Family) -> Match:
    plain = re.sub(r"\s+", "", _only(match))
    return _with(match, _U32_ONE.sub(r"\1", _U32_NUMBER.sub(_hexadecimal, plain)))


def _hexadecimal(found: re.Match[str]) -> str:
    return f"{number(found[0], _MARK_BITS):#x}"


def _rate(match: Match, _family: Family) -> Match:
    return _with(match, rate_word(rate_period(_only(match))))


def _burst(match: Match, _family: Family) -> Match | None:
    found = str(number(_only(match), _MARK_BITS))
    return None if found == "5" else _with(match, found)


_LOG_LEVELS = {
    word: str(level)
    for level, words in enumerate(
        ("emerg panic", "alert", "crit", "err error", "warning warn", "notice", "info", "debug")
    )
    for word in words.split()
}


def _log_level(match: Match, _family: Family) -> Match | None:
    text = _only(match).lower()
    found = _LOG_LEVELS.get(text) or str(number(text, 7))
    return None if found == "4" else _with(match, found)


def _unless(default: str, most: int) -> Rewrite:
    def rewrite(match: Match, _family: Family) -> Match | None:
        found = str(number(_only(match), most))
        return None if found == default else _with(match, found)

    return rewrite


REJECTIONS: Mapping[Family, Mapping[str, str]] = {
    Family.IPV4: {
        "icmp-net-unreachable": "net-unreach",
        "icmp-host-unreachable": "host-unreach",
        "icmp-proto-unreachable": "proto-unreach",
        "icmp-port-unreachable": "port-unreach",
        "icmp-net-prohibited": "net-prohib",
        "icmp-host-prohibited": "host-prohib",
        "icmp-admin-prohibited": "admin-prohib",
        "tcp-reset": "tcp-rst",
    },
    Family.IPV6: {
        "icmp6-no-route": "no-route",
        "icmp6-adm-prohibited": "adm-prohibited",
        "icmp6-addr-unreachable": "addr-unreach",
        "icmp6-port-unreachable": "port-unreach",
        "icmp6-policy-fail": "policy-fail",
        "icmp6-reject-route": "reject-route",
        "tcp-reset": "tcp-rst",
    },
}
"""The answers of REJECT, and the short name of each."""
_REJECTION_OF = {family: {short: name for name, short in answers.items()} for family, answers in REJECTIONS.items()}

DEFAULT_REJECTION: Mapping[Family, str] = {
    Family.IPV4: "icmp-port-unreachable",
    Family.IPV6: "icmp6-port-unreachable",
}
"""Answer of REJECT without an option."""


def _rejection(match: Match, family: Family) -> Match:
    text = _only(match)
    return _with(match, _REJECTION_OF[family].get(text, text))


def _in(modules: str, options: str, rewrite: Rewrite) -> dict[tuple[str, str], Rewrite]:
    return {(module, option): rewrite for module in modules.split() for option in options.split()}


REWRITES: Mapping[tuple[str, str], Rewrite] = {
    ("", "source"): _address,
    ("", "destination"): _address,
    ("", "in-interface"): _interface,
    ("", "out-interface"): _interface,
    ("", "protocol"): _protocol,
    **_in("tcp udp sctp dccp", "sport dport", _ports),
    **_in("multiport", "sports dports ports", _port_list),
    ("tcp", "tcp-flags"): _tcp_flags,
    ("tcp", "syn"): _syn,
    ("tcp", "tcp-option"): _number(255),
    ("icmp", "icmp-type"): _icmp_type,
    ("icmp6", "icmpv6-type"): _icmp_type,
    ("conntrack", "ctstate"): _states,
    ("state", "state"): _states,
    ("conntrack", "ctstatus"): _words,
    ("conntrack", "ctdir"): _upper,
    ("conntrack", "ctproto"): _tracked_protocol,
    **_in("conntrack", "ctorigsrcport ctorigdstport ctreplsrcport ctrepldstport", _range(0xFFFF)),
    **_in("mark connmark", "mark", _mark),
    **_in("length", "length", _range(0xFFFF)),
    **_in("ttl", "ttl-eq ttl-lt ttl-gt", _number(255)),
    **_in("hl", "hl-eq hl-lt hl-gt", _number(255)),
    ("dscp", "dscp"): _dscp,
    ("mac", "mac-source"): _upper,
    ("pkttype", "pkt-type"): _lower,
    **_in("iprange", "src-range dst-range", _address_range),
    **_in("addrtype", "src-type dst-type", _words),
    ("esp", "espspi"): _range(_MARK_BITS),
    ("ah", "ahspi"): _range(_MARK_BITS),
    ("u32", "u32"): _u32,
    ("limit", "limit"): _rate,
    ("limit", "limit-burst"): _burst,
}
"""Match option -> function that rewrites it; options of every rule have no module."""

TARGET_REWRITES: Mapping[tuple[str, str], Rewrite] = {
    ("REJECT", "reject-with"): _rejection,
    ("LOG", "log-level"): _log_level,
    ("NFLOG", "nflog-group"): _unless("0", 0xFFFF),
    ("NFLOG", "nflog-threshold"): _unless("0", 0xFFFF),
}
"""Target option -> function that rewrites it."""

DEFAULTS: Mapping[str, Match] = {"limit": Match("limit", "limit", ("3/hour",))}
"""The option that a match has where it is not given."""
