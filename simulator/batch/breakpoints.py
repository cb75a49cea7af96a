"""Where the truth of a match can change: the edges that its words name, by the kind of field.

Between two edges nothing changes, so asking the match at each edge tells all. Naming an edge too many does no harm.
What a match means is not known here.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import ip_address, ip_network

from engine.rulesets.model import Family, IpSet, Match
from simulator.batch.columns import NOT_GIVEN
from simulator.context import Host
from simulator.matches import MatchGroup
from simulator.matches.basic import BITS, masked
from simulator.matches.transport import port_ranges
from simulator.packets import protocol_names


class FieldKind(Enum):
    """What fields have a range of values."""

    ADDRESS = auto()
    NUMBER = auto()
    ICMP = auto()


KINDS: Mapping[str, FieldKind] = {
    "src": FieldKind.ADDRESS,
    "dst": FieldKind.ADDRESS,
    "sport": FieldKind.NUMBER,
    "dport": FieldKind.NUMBER,
    "length": FieldKind.NUMBER,
    "icmp": FieldKind.ICMP,
}

BreakpointSpan = tuple[FieldKind, int, int]
"""The first value of a range, and the first one behind it."""

Breakpoints = Mapping[FieldKind, tuple[int, ...]]
"""The first value of each range, in order; what is below the first edge of a rule counts as one range too."""

_LEAST: Mapping[FieldKind, tuple[int, ...]] = {
    FieldKind.ADDRESS: (0,),
    FieldKind.NUMBER: (NOT_GIVEN, 0),
    FieldKind.ICMP: (NOT_GIVEN, 0),
}


@dataclass(frozen=True, slots=True)
class MatchScope:
    """What words refer to beyond themselves: the family, the sets by name, and the node."""

    family: Family
    sets: Mapping[str, IpSet]
    host: Host | None = None


BreakpointReader = Callable[[str, MatchScope], Iterable[BreakpointSpan]]
"""From a word to the ranges it names; ValueError where it is not understood."""


def edges_of(group: MatchGroup, ground: MatchScope) -> Breakpoints | None:
    """Return the edges of a match's options, or None where it is not known where they are."""
    found = {kind: set(least) for kind, least in _LEAST.items()}
    top = 1 << BITS[ground.family]
    try:
        for match in group:
            for kind, low, high in _spans(match, ground):
                found[kind] |= {low, high} if kind is not FieldKind.ADDRESS or high < top else {low}
    except (KeyError, ValueError, IndexError):
        return None
    return {kind: tuple(sorted(values)) for kind, values in found.items()}


def _spans(match: Match, ground: MatchScope) -> Iterable[BreakpointSpan]:
    return _READERS[match.module, match.option](match.values[0] if match.values else "", ground)


def _block(text: str, family: Family) -> BreakpointSpan:
    """A network or a single address; a mask with holes is a ValueError."""
    address, mask = masked(text, family)
    size = (1 << BITS[family]) - mask
    if size & size - 1:
        raise ValueError(text)
    return FieldKind.ADDRESS, address, address + size


def _blocks(word: str, ground: MatchScope) -> Iterator[BreakpointSpan]:
    return (_block(text, ground.family) for text in word.split(","))


def _range(word: str, ground: MatchScope) -> Iterator[BreakpointSpan]:
    low, _, high = word.partition("-")
    first, last = ip_address(low), ip_address(high or low)
    if first.max_prefixlen != BITS[ground.family]:
        raise ValueError(word)
    yield FieldKind.ADDRESS, int(first), int(last) + 1


def _ports(word: str, _ground: MatchScope) -> Iterator[BreakpointSpan]:
    return ((FieldKind.NUMBER, low, high + 1) for low, high in port_ranges(word))


def _icmp(word: str, ground: MatchScope) -> Iterator[BreakpointSpan]:
    if word.lower() == "any":
        return iter(())
    kind, low, high = protocol_names.icmp_range(word, ground.family)
    return iter([(FieldKind.ICMP, kind << 8 | low, (kind << 8 | high) + 1)])


def _nothing(_word: str, _ground: MatchScope) -> Iterator[BreakpointSpan]:
    return iter(())


_SPECIAL: Mapping[Family, tuple[str, ...]] = {
    Family.IPV4: ("0.0.0.0/32", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255"),
    Family.IPV6: ("::", "::1", "::ffff:0:0/96", "::ffff:127.0.0.0/104", "::ffff:224.0.0.0/100", "ff00::/8"),
}
"""Networks that mean something to every node."""


def _node(_word: str, ground: MatchScope) -> Iterator[BreakpointSpan]:
    """What a node's own addresses, networks and routes set apart."""
    wide = BITS[ground.family]
    found = [ip_network(text) for text in _SPECIAL[ground.family]]
    if ground.host is not None:
        own = [each for all_of in ground.host.addresses.values() for each in all_of]
        found += [each.network for each in own] + [route.network for route in ground.host.routes]
        found += [ip_network(each.ip) for each in own]
        found += [ip_network(each.network.broadcast_address) for each in own]
    for net in found:
        if net.max_prefixlen == wide:
            yield FieldKind.ADDRESS, int(net.network_address), int(net.broadcast_address) + 1


# Sets: whatever their type, what they hold changes only where a member begins or ends.

_NAMED_PROTOCOL = re.compile(r"([a-z][a-z0-9-]*|\d+):(?=[^:]*$)", re.IGNORECASE)


def _set(word: str, ground: MatchScope) -> Iterator[BreakpointSpan]:
    ipset = ground.sets[word]
    options = dict(ipset.options)
    if "bitmask" in options:
        raise ValueError(word)
    family = ipset.family or Family.IPV4
    most = int(options.get("netmask", BITS[family]))
    yield FieldKind.ADDRESS, 0, 1 << BITS[family] - most  # no address, which some types never hold
    for member in ipset.members:
        if ipset.type == "list:set":
            yield from _set(member[0], ground)
            continue
        for part in member[0].split(","):
            yield from _element(part, ground, ipset, most)


_WITHOUT_EDGES = re.compile("iface|mac|mark")


def _element(text: str, ground: MatchScope, ipset: IpSet, most: int) -> Iterator[BreakpointSpan]:
    """One part of a member: a network, a range, a port, an ICMP type; other fields are not of a kind with edges."""
    for read in (_network_part, _port_part, _icmp_part):
        try:
            found = tuple(read(text, ground, ipset.family or Family.IPV4, most))
        except ValueError:
            continue
        yield from found
        return
    if not _WITHOUT_EDGES.search(ipset.type):
        raise ValueError(text)


def _network_part(text: str, ground: MatchScope, family: Family, most: int) -> Iterator[BreakpointSpan]:
    low, dash, high = text.partition("-")
    spans = [_block(low, family), _block(high, family)] if dash else [_block(text, family)]
    if family is ground.family:
        size = 1 << BITS[family] - most
        yield FieldKind.ADDRESS, spans[0][1] // size * size, -(-spans[-1][2] // size) * size


def _port_part(text: str, _ground: MatchScope, _family: Family, _most: int) -> Iterator[BreakpointSpan]:
    plain = _NAMED_PROTOCOL.sub("", text)
    low, dash, high = plain.partition("-")
    first = protocol_names.number(low, 0xFFFF)
    yield FieldKind.NUMBER, first, (protocol_names.number(high, 0xFFFF) if dash else first) + 1


def _icmp_part(text: str, ground: MatchScope, _family: Family, _most: int) -> Iterator[BreakpointSpan]:
    return _icmp(_NAMED_PROTOCOL.sub("", text), ground)


_PORT_OPTIONS = "sport source-port dport destination-port sports source-ports dports destination-ports ports".split()

_READERS: Mapping[tuple[str, str], BreakpointReader] = {
    ("", "source"): _blocks,
    ("", "destination"): _blocks,
    **{("iprange", option): _range for option in ("src-range", "dst-range")},
    **{(module, name): _ports for module in ("tcp", "udp", "sctp", "dccp", "multiport") for name in _PORT_OPTIONS},
    ("length", "length"): _ports,
    **{(module, "icmpv6-type"): _icmp for module in ("icmp6", "icmpv6", "ipv6-icmp")},
    ("icmp", "icmp-type"): _icmp,
    **{("conntrack", f"ct{side}{end}"): _blocks for side in ("orig", "repl") for end in ("src", "dst")},
    **{("conntrack", f"ct{side}{end}port"): _ports for side in ("orig", "repl") for end in ("src", "dst")},
    **{("conntrack", option): _nothing for option in ("ctstate", "state", "ctproto", "ctstatus", "ctdir")},
    ("state", "state"): _nothing,
    ("connmark", "mark"): _nothing,
    ("set", "match-set"): _set,
    **{("set", option): _nothing for option in ("return-nomatch", "update-counters", "update-subcounters")},
    **{("addrtype", f"{side}-type"): _node for side in ("src", "dst")},
    **{("addrtype", f"limit-iface-{way}"): _nothing for way in ("in", "out")},
    **{("rpfilter", option): _node for option in ("", "loose", "validmark", "accept-local", "invert")},
    ("pkttype", "pkt-type"): _node,
}
"""The options whose edges are known."""
