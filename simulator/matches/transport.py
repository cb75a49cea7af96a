"""Matches on transport headers: tcp, udp, sctp, multiport, icmp, icmp6 (iptables-extensions(8)).

None of them holds for a later fragment, which has no such header, and none for another protocol, negated or
not. (For an IPv6 fragment that is so with ip6tables-legacy; ip6tables-nft reads on in the payload on some kernels.
With connection tracking in use neither ever sees one.)
"""

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter

from engine.rulesets.model import Family
from simulator.matches.base import Applicability, MatchEvaluator, PacketCheck, Truth, one
from simulator.packets import TCP_FLAGS, Packet, protocol_names

PortInterval = tuple[int, int]
"""The lowest and the highest port."""

PortReader = Callable[[Packet], int | None]

_FLAG_WORDS: Mapping[str, frozenset[str]] = {
    "ALL": frozenset(TCP_FLAGS[:6]),
    "NONE": frozenset(),
    **{flag: frozenset({flag}) for flag in TCP_FLAGS[:6]},
}


def port_range(text: str) -> PortInterval:
    """Read ``PORT``, ``LOW:HIGH``, ``:HIGH`` or ``LOW:``.

    Raises:
        ValueError: it is none of them; service names are not known here.
    """
    low_text, colon, high_text = text.partition(":")
    if not colon:
        return (protocol_names.number(text, 0xFFFF), protocol_names.number(text, 0xFFFF))
    low = protocol_names.number(low_text or "0", 0xFFFF)
    high = protocol_names.number(high_text or "65535", 0xFFFF)
    if low > high:
        raise ValueError(text)
    return (low, high)


def port_ranges(text: str) -> tuple[PortInterval, ...]:
    """Read what multiport takes: `port_range` texts with commas between."""
    return tuple(port_range(part) for part in text.split(","))


def flag_mask(words: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """Read the two lists of ``--tcp-flags``: the flags examined, and those of them that must be set.

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


# In C, as they run for every packet and rule.
_sport: PortReader = attrgetter("sport")
_dport: PortReader = attrgetter("dport")


def _within(port: PortReader) -> Callable[[tuple[str, ...], Family], PacketCheck]:
    def read(values: tuple[str, ...], _family: Family) -> PacketCheck:
        low, high = port_range(one(values))
        return lambda packet: None if (found := port(packet)) is None else low <= found <= high

    return read


def _among(*ports: PortReader) -> Callable[[tuple[str, ...], Family], PacketCheck]:
    def read(values: tuple[str, ...], _family: Family) -> PacketCheck:
        ranges = port_ranges(one(values))
        return lambda packet: _any(_listed(port(packet), ranges) for port in ports)

    return read


def _listed(port: int | None, ranges: tuple[PortInterval, ...]) -> Truth:
    if port is None:
        return None
    return any(low <= port <= high for low, high in ranges)


def _any(truths: Iterator[Truth]) -> Truth:
    found = set(truths)
    if True in found:
        return True
    return None if None in found else False


def _tcp_flags(values: tuple[str, ...], _family: Family) -> PacketCheck:
    examined, wanted = flag_mask(values)
    return lambda packet: packet.flags & examined == wanted


def _syn(_values: tuple[str, ...], family: Family) -> PacketCheck:
    return _tcp_flags(("FIN,SYN,RST,ACK", "SYN"), family)


def _icmp_type(values: tuple[str, ...], family: Family) -> PacketCheck:
    """In IPv4 ``any`` holds for all, and so does 255, which is how the kernel stores it."""
    text = one(values)
    if family is Family.IPV4 and text.lower() in {"any", "255"}:
        return lambda _packet: True
    kind, low, high = protocol_names.icmp_range(text, family)
    return lambda packet: None if packet.icmp is None else packet.icmp[0] == kind and low <= packet.icmp[1] <= high


def _always(_values: tuple[str, ...], _family: Family) -> PacketCheck:
    return lambda _packet: True


def _speaks(*protocols: int) -> Applicability:
    if len(protocols) == 1:
        (protocol,) = protocols
        return lambda packet: packet.protocol == protocol and not packet.fragment
    return lambda packet: packet.protocol in protocols and not packet.fragment


_SPORT, _DPORT, _PORTS = "the source port", "the destination port", "both ports"
_ICMP_TYPE = "the ICMP type"


def _port_options(applies: Applicability) -> dict[str, MatchEvaluator]:
    """The options tcp, udp and sctp share; the long and the short name are both accepted by iptables."""
    sport = MatchEvaluator(_within(_sport), applies, _SPORT)
    dport = MatchEvaluator(_within(_dport), applies, _DPORT)
    return {
        "": MatchEvaluator(_always, applies),
        "sport": sport,
        "source-port": sport,
        "dport": dport,
        "destination-port": dport,
    }


def _multiport_options(applies: Applicability) -> dict[str, MatchEvaluator]:
    sports = MatchEvaluator(_among(_sport), applies, _SPORT)
    dports = MatchEvaluator(_among(_dport), applies, _DPORT)
    return {
        "": MatchEvaluator(_always, applies),
        "sports": sports,
        "source-ports": sports,
        "dports": dports,
        "destination-ports": dports,
        "ports": MatchEvaluator(_among(_sport, _dport), applies, _PORTS),
    }


def _icmp_options(option: str, applies: Applicability) -> dict[str, MatchEvaluator]:
    return {"": MatchEvaluator(_always, applies), option: MatchEvaluator(_icmp_type, applies, _ICMP_TYPE)}


_TCP = _speaks(protocol_names.TCP)
_ICMPV6 = _icmp_options("icmpv6-type", _speaks(protocol_names.ICMPV6))

_MODULES: Mapping[str, Mapping[str, MatchEvaluator]] = {
    "tcp": {
        **_port_options(_TCP),
        "tcp-flags": MatchEvaluator(_tcp_flags, _TCP),
        "syn": MatchEvaluator(_syn, _TCP),
    },
    "udp": _port_options(_speaks(protocol_names.UDP)),
    "sctp": _port_options(_speaks(protocol_names.SCTP)),
    "multiport": _multiport_options(_speaks(*sorted(protocol_names.PORT_PROTOCOLS))),
    "icmp": _icmp_options("icmp-type", _speaks(protocol_names.ICMP)),
    "icmp6": _ICMPV6,
    "icmpv6": _ICMPV6,
    "ipv6-icmp": _ICMPV6,
}

EVALUATORS: Mapping[tuple[str, str], MatchEvaluator] = {
    (module, option): evaluator for module, options in _MODULES.items() for option, evaluator in options.items()
}
