"""Matches on the position and origin of a packet: addrtype, rpfilter, policy, physdev, pkttype, owner, socket.

`OPTIONS` and `GROUPS` map options and modules to definitions (`MatchOption`, `MatchGroup`), which the engines of the
simulator evaluate. The modules addrtype and rpfilter need the node's addresses and routes (`Host`); without them the
result is None, which means unknown.

Source: iptables-extensions(8); the kernel's xt_addrtype, ipt_rpfilter, ip6t_rpfilter, xt_physdev, xt_pkttype, xt_owner.
"""

from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_network

from engine.ip_types import Address
from engine.rulesets.model import Family, Match
from simulator.context import LOOPBACK, UNKNOWN_INTERFACE, Host, PacketContext
from simulator.matches.base import (
    CheckReader,
    CompiledMatch,
    MatchGroup,
    MatchOption,
    OptionGroup,
    PacketCheck,
    Truth,
    bare,
    one,
    opaque,
    option,
    spelled,
    weighed,
    without_sets,
)
from simulator.matches.basic import BITS
from simulator.matches.breakpoints import NO_RANGES, BreakpointContext, Breakpoints, Span, ValueKind, anywhere
from simulator.matches.formula import MORE_THAN_THE_PACKET
from simulator.packets import Packet, protocol_names

_HIGHEST_ID = 0xFFFFFFFE
_NO_HOST = "needs the node's addresses and routes"

AddressTypes = frozenset[str]

AddressTypeFinder = Callable[[Host | None, Address, str], tuple[AddressTypes, ...]]
"""Function that returns the possible types of an address, on one interface or (empty name) on any.

It returns more than one set of types if the node is not known.
"""


def _types(host: Host | None, address: Address, interface: str) -> tuple[AddressTypes, ...]:
    """Return the possible types of an IPv4 address by the local routing table (``inet_dev_addr_type``)."""
    if address.is_multicast:
        return (frozenset({"MULTICAST"}),)
    if int(address) in {0, 0xFFFFFFFF}:
        return (frozenset({"BROADCAST"}),)
    if address.is_loopback:
        return (frozenset({"LOCAL" if interface in {"", LOOPBACK} else "UNICAST"}),)
    if host is None:
        return tuple(frozenset({kind}) for kind in ("LOCAL", "BROADCAST", "UNICAST"))
    if host.is_local(address, interface):
        return (frozenset({"LOCAL"}),)
    return (frozenset({"BROADCAST" if host.is_broadcast(address) else "UNICAST"}),)


def _types_6(host: Host | None, address: Address, interface: str) -> tuple[AddressTypes, ...]:
    """Return the possible types of an IPv6 address by the node's routes (``match_type6``).

    All addresses except multicast and unspecified ones are unicast too.
    """
    if address.is_multicast:
        return (frozenset({"MULTICAST"}),)
    if int(address) == 0:
        return (frozenset({"UNSPEC"}),)
    local, foreign = frozenset({"UNICAST", "LOCAL"}), frozenset({"UNICAST"})
    if address.is_loopback and not interface:
        return (local,)
    if host is None:
        return local, foreign
    return (local if host.is_local(address, interface) else foreign,)


def _addrtype(group: OptionGroup, family: Family) -> CompiledMatch:
    sides: dict[str, Callable[[Packet], Address]] = {"src-type": lambda p: p.src, "dst-type": lambda p: p.dst}
    asked = [(sides[match.option], _wanted(match), match.negated) for match in group if match.option in sides]
    limit = next((match.option for match in group if match.option.startswith("limit-iface")), "")
    kind: AddressTypeFinder = _types if family is Family.IPV4 else _types_6

    def weigh(packet: Packet, around: PacketContext) -> Truth:
        interface = {"limit-iface-in": packet.in_interface, "limit-iface-out": packet.out_interface}.get(limit, "")
        if interface == UNKNOWN_INTERFACE or (limit and not interface):
            return None
        truths: list[Truth] = []
        for side, wanted, negated in asked:
            held = {_fits(found, wanted, family) for found in kind(around.host, side(packet), interface)}
            truths.append(held.pop() is not negated if len(held) == 1 else None)
        return False if False in truths else None if None in truths else True

    return weighed(group, weigh, _NO_HOST, still=True)


def _wanted(match: Match) -> AddressTypes:
    return frozenset(one(match.values).upper().split(","))


def _fits(found: AddressTypes, wanted: AddressTypes, family: Family) -> bool:
    """Return whether the types of an address match the wanted types.

    In IPv6 all wanted types of unicast, multicast and unspecified must match, and one of the other wanted types.
    """
    if family is Family.IPV4:
        return bool(found & wanted)
    by_routes = wanted & {"LOCAL", "ANYCAST", "UNREACHABLE"}
    return wanted - by_routes <= found and (not by_routes or bool(by_routes & found))


def _rpfilter(group: OptionGroup, family: Family) -> CompiledMatch:
    """Return the check that a reply would leave by the interface at which the packet arrived."""
    loose, inverted = option(group, "loose") is not None, option(group, "invert") is not None
    accepts_local = option(group, "accept-local") is not None

    def weigh(packet: Packet, around: PacketContext) -> Truth:
        if packet.in_interface == LOOPBACK:
            return not inverted
        if around.host is None or packet.in_interface == UNKNOWN_INTERFACE:
            return None
        if around.host.is_local(packet.src):
            return accepts_local is not inverted
        return _answered_by(around.host, packet, family, loose=loose) is not inverted

    return weighed(group, weigh, _NO_HOST, still=True)


def _answered_by(host: Host, packet: Packet, family: Family, *, loose: bool) -> bool:
    """Return whether a reply would leave by the interface at which the packet arrived.

    IPv4 takes the best route; IPv6 takes any route by the interface (``RT6_LOOKUP_F_IFACE``). With ``loose``, any
    interface will do.
    """
    if family is Family.IPV6 and not loose:
        return host.has_route_through(packet.src, packet.in_interface)
    way = host.route_interface(packet.src)
    return way is not None and (loose or way == packet.in_interface)


def _socket(group: OptionGroup, _family: Family) -> CompiledMatch:
    return opaque(*group, why="depends on the node's open sockets")


def _policy(group: OptionGroup, _family: Family) -> CompiledMatch:
    """Return the check for IPsec; packets are assumed not to use it."""
    asked = option(group, "pol")
    held = one(asked.values if asked else ()).lower() == "none"
    return CompiledMatch(
        spelled(*group), lambda _packet: held, "", assumed="takes the packet as one that IPsec is not used for"
    )


def _not_bridged(_values: tuple[str, ...], _family: Family) -> PacketCheck:
    return lambda _packet: False


def _pkttype(values: tuple[str, ...], _family: Family) -> PacketCheck:
    wanted = one(values).lower()
    if wanted not in {"unicast", "broadcast", "multicast"}:
        raise ValueError(wanted)

    def check(packet: Packet) -> Truth:
        if not packet.in_interface:
            return wanted == "unicast"
        if packet.dst.is_multicast:
            return wanted == "multicast"
        if int(packet.dst) == 0xFFFFFFFF and packet.dst.version == 4:
            return wanted == "broadcast"
        return wanted == "unicast"

    return check


def _owner(side: Callable[[Packet], int | None]) -> CheckReader:
    def read(values: tuple[str, ...], _family: Family) -> PacketCheck:
        low, dash, high = one(values).partition("-")
        first = protocol_names.number(low, _HIGHEST_ID)
        last = protocol_names.number(high, _HIGHEST_ID) if dash else first
        return lambda packet: None if (found := side(packet)) is None else first <= found <= last

    return read


def _has_owner(_values: tuple[str, ...], _family: Family) -> PacketCheck:
    return lambda packet: None if packet.uid is None else True


_SPECIAL: Mapping[Family, tuple[str, ...]] = {
    Family.IPV4: ("0.0.0.0/32", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255"),
    Family.IPV6: ("::", "::1", "::ffff:0:0/96", "::ffff:127.0.0.0/104", "::ffff:224.0.0.0/100", "ff00::/8"),
}
"""Networks with a special meaning on every node."""


def _node_spans(_word: str, context: BreakpointContext) -> Iterator[Span]:
    """Yield the ranges of the node's addresses, networks and routes, and of special networks."""
    found = [ip_network(text) for text in _SPECIAL[context.family]]
    if context.host is not None:
        own = [each for all_of in context.host.addresses.values() for each in all_of]
        found += [each.network for each in own] + [route.network for route in context.host.routes]
        found += [ip_network(each.ip) for each in own]
        found += [ip_network(each.network.broadcast_address) for each in own]
    for net in found:
        if net.max_prefixlen == BITS[context.family]:
            yield ValueKind.ADDRESS, int(net.network_address), int(net.broadcast_address) + 1


def _about_node(
    evaluate: Callable[[OptionGroup, Family], CompiledMatch], breakpoints: Mapping[str, Breakpoints] | str
) -> MatchGroup:
    return MatchGroup(evaluate=without_sets(evaluate), breakpoints=breakpoints, condition=MORE_THAN_THE_PACKET)


GROUPS: Mapping[str, MatchGroup] = {
    "addrtype": _about_node(
        _addrtype,
        {
            **dict.fromkeys(("src-type", "dst-type"), _node_spans),
            **dict.fromkeys(("limit-iface-in", "limit-iface-out"), anywhere),
        },
    ),
    "policy": _about_node(_policy, NO_RANGES),
    "rpfilter": _about_node(
        _rpfilter, dict.fromkeys(("", "loose", "validmark", "accept-local", "invert"), _node_spans)
    ),
    "socket": _about_node(_socket, "asks for the node's open sockets, so that nothing is told of it"),
}


def _undecided(evaluate: CheckReader, needs: str = "", breakpoints: Breakpoints | str = NO_RANGES) -> MatchOption:
    return MatchOption(evaluate=evaluate, breakpoints=breakpoints, condition=MORE_THAN_THE_PACKET, needs=needs)


OPTIONS: Mapping[tuple[str, str], MatchOption] = {
    **{
        ("physdev", f"physdev-{what}"): _undecided(_not_bridged)
        for what in ("in", "out", "is-in", "is-out", "is-bridged")
    },
    **{(module, ""): bare() for module in ("physdev", "pkttype", "owner")},
    ("pkttype", "pkt-type"): _undecided(_pkttype, breakpoints=_node_spans),
    ("owner", "uid-owner"): _undecided(_owner(lambda packet: packet.uid), "the sender's user (uid)"),
    ("owner", "gid-owner"): _undecided(_owner(lambda packet: packet.gid), "the sender's group (gid)"),
    ("owner", "socket-exists"): _undecided(_has_owner, "the sender's user (uid)"),
}
