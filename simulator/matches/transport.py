"""Matches on transport headers: tcp, udp, sctp, multiport, icmp, icmp6.

`OPTIONS` maps each option to its definition (`MatchOption`), which the engines of the simulator evaluate. A match never
holds for another protocol, even if negated. It never holds for a fragment other than the first, because that has no
transport header.

For IPv6 fragments this follows ip6tables-legacy; on some kernels, ip6tables-nft reads the payload instead. With
connection tracking, neither sees fragments. Source: iptables-extensions(8).
"""

from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter

from engine.rulesets.canonical.icmp import is_any_icmp
from engine.rulesets.canonical.numbers import PortInterval, port_range
from engine.rulesets.model import Family
from simulator.matches.base import MatchOption, PacketCheck, Scope, Truth, bare, one, speaks
from simulator.matches.breakpoints import NO_RANGES, BreakpointContext, Span, ValueKind
from simulator.matches.formula import TRUE, Formula, MaskedBits, Or, within
from simulator.matches.numeric import Number, Ranges, among, in_ranges, spans
from simulator.packets import TCP_FLAGS, Packet, protocol_names

_FLAG_WORDS: Mapping[str, frozenset[str]] = {
    "ALL": frozenset(TCP_FLAGS[:6]),
    "NONE": frozenset(),
    **{flag: frozenset({flag}) for flag in TCP_FLAGS[:6]},
}


def port_ranges(text: str) -> tuple[PortInterval, ...]:
    """Parse the ports of multiport: `port_range` texts, separated by commas.

    Raises:
        ValueError: a part is not a port or range.
    """
    return tuple(port_range(part) for part in text.split(","))


def flag_mask(words: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """Parse the two lists of ``--tcp-flags``: the flags to examine, and those of them that must be set.

    Raises:
        ValueError: a word is no flag, ``ALL`` or ``NONE``.
    """
    examined, wanted = words
    return _flags(examined), _flags(wanted)


def _flags(text: str) -> frozenset[str]:
    found = [_FLAG_WORDS.get(word.upper()) for word in text.split(",")]
    if None in found:
        raise ValueError(text)
    return frozenset().union(*(flags for flags in found if flags))


# Written in C, because they run for every packet and rule.
_sport: Number = attrgetter("sport")
_dport: Number = attrgetter("dport")


def _single(text: str, _family: Family) -> Ranges:
    return (port_range(text),)


def _several(text: str, _family: Family) -> Ranges:
    return port_ranges(text)


port_spans = spans(ValueKind.NUMBER, _several)
"""Returns the breakpoints of `port_ranges` texts."""


def _either(values: tuple[str, ...], _family: Family) -> PacketCheck:
    """Return the check that the source or the destination port is one of several."""
    ranges = port_ranges(one(values))

    def check(packet: Packet) -> Truth:
        ports = packet.sport, packet.dport
        return _any(None if port is None else among(port, ranges) for port in ports)

    return check


def _either_condition(values: tuple[str, ...], _family: Family) -> Formula:
    ranges = port_ranges(one(values))
    return Or((within("sport", *ranges), within("dport", *ranges)))


def _any(truths: Iterator[Truth]) -> Truth:
    found = set(truths)
    if True in found:
        return True
    return None if None in found else False


def _tcp_flags(values: tuple[str, ...], _family: Family) -> PacketCheck:
    examined, wanted = flag_mask(values)
    return lambda packet: packet.flags & examined == wanted


def _flags_set(values: tuple[str, ...], _family: Family) -> Formula:
    examined, wanted = flag_mask(values)
    return MaskedBits("flags", _flag_bits(examined), _flag_bits(wanted))


def _flag_bits(flags: frozenset[str]) -> int:
    return sum(1 << TCP_FLAGS.index(flag) for flag in flags)


_SYN = ("FIN,SYN,RST,ACK", "SYN")


def _syn(_values: tuple[str, ...], family: Family) -> PacketCheck:
    return _tcp_flags(_SYN, family)


def _icmp_type(values: tuple[str, ...], family: Family) -> PacketCheck:
    """Return the check for an ICMP type.

    In IPv4, ``any`` matches all types, and so does type 255 with any code, because the kernel stores ``any`` as 255.
    """
    text = one(values)
    if is_any_icmp(text, family):
        return lambda _packet: True
    kind, low, high = protocol_names.icmp_range(text, family)
    return lambda packet: None if packet.icmp is None else packet.icmp[0] == kind and low <= packet.icmp[1] <= high


def icmp_spans(word: str, context: BreakpointContext) -> Iterable[Span]:
    """Return the breakpoints of an ICMP type."""
    if word.lower() == "any":
        return ()
    kind, low, high = protocol_names.icmp_range(word, context.family)
    return ((ValueKind.ICMP, kind << 8 | low, (kind << 8 | high) + 1),)


def _typed(values: tuple[str, ...], family: Family) -> Formula:
    text = one(values)
    if is_any_icmp(text, family):
        return TRUE
    kind, low, high = protocol_names.icmp_range(text, family)
    return within("icmp", (kind << 8 | low, kind << 8 | high))


def _port_options(scope: Scope) -> dict[str, MatchOption]:
    """Return the options that tcp, udp and sctp share; iptables accepts the long and the short name."""
    sport = in_ranges("sport", _sport, _single, ValueKind.NUMBER, scope=scope, needs="the source port")
    dport = in_ranges("dport", _dport, _single, ValueKind.NUMBER, scope=scope, needs="the destination port")
    return {
        "": bare(scope),
        "sport": sport,
        "source-port": sport,
        "dport": dport,
        "destination-port": dport,
    }


def _multiport_options(scope: Scope) -> dict[str, MatchOption]:
    sports = in_ranges("sport", _sport, _several, ValueKind.NUMBER, scope=scope, needs="the source port")
    dports = in_ranges("dport", _dport, _several, ValueKind.NUMBER, scope=scope, needs="the destination port")
    ports = MatchOption(
        evaluate=_either, breakpoints=port_spans, condition=_either_condition, scope=scope, needs="both ports"
    )
    return {
        "": bare(scope),
        "sports": sports,
        "source-ports": sports,
        "dports": dports,
        "destination-ports": dports,
        "ports": ports,
    }


def _icmp_options(option: str, scope: Scope) -> dict[str, MatchOption]:
    found = MatchOption(
        evaluate=_icmp_type, breakpoints=icmp_spans, condition=_typed, scope=scope, needs="the ICMP type"
    )
    return {"": bare(scope), option: found}


TCP = speaks(protocol_names.TCP)
_ICMPV6 = _icmp_options("icmpv6-type", speaks(protocol_names.ICMPV6))

_MODULES: Mapping[str, Mapping[str, MatchOption]] = {
    "tcp": {
        **_port_options(TCP),
        "tcp-flags": MatchOption(evaluate=_tcp_flags, breakpoints=NO_RANGES, condition=_flags_set, scope=TCP),
        "syn": MatchOption(
            evaluate=_syn,
            breakpoints=NO_RANGES,
            condition=lambda _values, family: _flags_set(_SYN, family),
            scope=TCP,
        ),
    },
    "udp": _port_options(speaks(protocol_names.UDP)),
    "sctp": _port_options(speaks(protocol_names.SCTP)),
    "multiport": _multiport_options(speaks(*sorted(protocol_names.PORT_PROTOCOLS))),
    "icmp": _icmp_options("icmp-type", speaks(protocol_names.ICMP)),
    "icmp6": _ICMPV6,
    "icmpv6": _ICMPV6,
    "ipv6-icmp": _ICMPV6,
}

OPTIONS: Mapping[tuple[str, str], MatchOption] = {
    (module, option): found for module, options in _MODULES.items() for option, found in options.items()
}
