"""Packets aimed at the rules of any ruleset: just inside and just outside of a rule and of the jumps to it."""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

from engine.ip_types import Address, Network
from engine.rulesets.model import Family, Hook, Match, Rule, Ruleset
from simulator.context import LOOPBACK, Host
from simulator.packets import TCP_FLAGS, Packet, protocol_names
from simulator.packets.dissect import ICMP_ERRORS
from tests.support.seeds import seeded

OUTSIDE = 0.15
"""Probability that a value just outside of a match is drawn."""

VERSIONS = {Family.IPV4: 4, Family.IPV6: 6}
GROUPS: Mapping[Family, tuple[str, ...]] = {Family.IPV4: ("224.0.0.251", "239.1.2.3"), Family.IPV6: ("ff02::1",)}
ELSEWHERE: Mapping[Family, tuple[str, ...]] = {
    Family.IPV4: ("198.51.100.7", "198.51.100.77", "203.0.113.9", "100.64.1.1"),
    Family.IPV6: ("2001:db8:1::7", "2001:db8:bad::9", "2001:db8:77::1"),
}
OTHER_PROTOCOLS = {Family.IPV4: (47, 50, 51, 89), Family.IPV6: (47, 50, 89)}
WITH_PORTS = (protocol_names.TCP, protocol_names.UDP, protocol_names.SCTP)
ICMP_TYPES = {
    Family.IPV4: ((0, 0), (3, 1), (3, 4), (8, 0), (11, 0), (13, 0), (17, 0)),
    Family.IPV6: ((1, 4), (2, 0), (3, 0), (128, 0), (129, 0), (133, 0), (135, 0), (136, 0)),
}
FLAGS = ("SYN", "SYN", "SYN", "SYN", "ACK", "SYN ACK", "FIN ACK", "RST", "FIN PSH URG", "SYN FIN", "SYN RST", "")


@dataclass(slots=True)
class Draft:
    """Packet while it is drawn; None means undecided."""

    src: Address | None = None
    dst: Address | None = None
    protocol: int | None = None
    sport: int | None = None
    dport: int | None = None
    flags: frozenset[str] | None = None
    icmp: tuple[int, int] | None = None
    inside: str = ""
    outside: str = ""
    ttl: int = 64


@dataclass(slots=True)
class Aim:
    """Draws packets for one family of a ruleset, each of a different flow; ``host`` is the Node with the rules."""

    ruleset: Ruleset
    family: Family
    host: Host
    seed: str
    _dice: random.Random = field(init=False)
    _rules: list[tuple[str, str, Rule]] = field(init=False)
    _callers: Mapping[tuple[str, str], list[tuple[str, Rule]]] = field(init=False)
    _taken: set[object] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._dice = seeded(f"{self.seed} {self.family}")
        self._callers = _callers(self.ruleset, self.family)
        chains = [(table, chain) for family, table, chain in self.ruleset.chains() if family is self.family]
        self._rules = [(table.name, chain.name, rule) for table, chain in chains for rule in chain.rules]

    def packets(self) -> Iterator[Packet]:
        """Yield packets without end; packets that the Node sends have no input interface."""
        while True:
            hook, way = self._way(*self._dice.choice(self._rules))
            draft = Draft()
            for match in (match for rule in way for match in rule.matches):
                self._heed(draft, match)
            packet = self._finished(draft, hook)
            flow = (frozenset({(packet.src, packet.sport), (packet.dst, packet.dport)}), packet.protocol, packet.icmp)
            if packet.src != packet.dst and flow not in self._taken:
                self._taken.add(flow)
                yield packet

    def _way(self, table: str, chain: str, rule: Rule) -> tuple[str, list[Rule]]:
        """Return a built-in chain, and the jumps that lead from it to a rule, with that rule last.

        The chain is empty if no jumps lead to the rule.
        """
        way = [rule]
        while chain not in Hook.__members__:
            callers = self._callers.get((table, chain))
            if not callers or len(way) > 20:
                return "", way
            chain, jump = self._dice.choice(callers)
            way.insert(0, jump)
        return chain, way

    # Fields that a match names

    def _heed(self, draft: Draft, match: Match) -> None:
        value, inside = (match.values or ("",))[0], not match.negated
        match match.option:
            case "source" | "ctorigsrc" | "src-range":
                draft.src = self._near([*_networks(value)], inside=inside, near=True) or draft.src
            case "destination" | "ctorigdst" | "dst-range":
                draft.dst = self._near([*_networks(value)], inside=inside) or draft.dst
            case "match-set":
                self._heed_set(draft, match)
            case "dst-type":
                draft.dst = self._of_type(value) if inside else draft.dst
            case "protocol":
                draft.protocol = (
                    protocol_names.PROTOCOLS.get(value) or int(value) if inside and value != "all" else None
                )
            case "in-interface":
                draft.inside = self._interface(value, inside=inside)
            case "out-interface":
                draft.outside = self._interface(value, inside=inside)
            case _:
                self._heed_transport(draft, match, value, inside=inside)

    def _heed_transport(self, draft: Draft, match: Match, value: str, *, inside: bool) -> None:
        match match.option:
            case "dport" | "dports" | "ports" | "ctorigdstport":
                draft.dport = self._port(value, inside=inside)
            case "sport" | "sports":
                draft.sport = self._port(value, inside=inside)
            case "tcp-flags":
                draft.flags = self._flags(value, match.values[1])
            case "icmp-type" | "icmpv6-type" if value[:1].isdigit():
                kind, _, code = value.partition("/")
                draft.icmp = (int(kind) + self._dice.choice((0, 0, 0, 0, 0, -1, 1))) % 256, int(code or 0)
            case "hl-eq" | "ttl-gt":
                draft.ttl = max(2, min(255, int(value) + self._dice.choice((-1, 0, 0, 1))))
            case _:
                pass  # other matches do not shape the draft

    def _heed_set(self, draft: Draft, match: Match) -> None:
        name, sides = match.values
        members = next(found.members for found in self.ruleset.sets if found.name == name)
        near = self._near([net for member in members for net in _networks(member[0])], inside=not match.negated)
        if sides.startswith("src"):
            draft.src = near or draft.src
        else:
            draft.dst = near or draft.dst

    def _near(self, networks: Sequence[Network], *, inside: bool, near: bool = False) -> Address | None:
        """Return an address at an edge of some networks, or None; link-local addresses only with ``near``."""
        fitting = [net for net in networks if net.version == VERSIONS[self.family]]
        inside ^= self._dice.random() < OUTSIDE
        ends = [(end, by) for net in fitting for end, by in ((net[0], -1), (net[-1], 1))]
        found = [end if inside else _shifted(end, by) for end, by in ends]
        usable = [each for each in found if usable_end(each) or (near and each.version == 6 and each.is_link_local)]
        return self._dice.choice(usable) if usable else None

    def _of_type(self, kind: str) -> Address | None:
        if kind == "LOCAL":
            return self._own()
        return ip_address(self._dice.choice(GROUPS[self.family])) if kind == "MULTICAST" else None

    def _interface(self, name: str, *, inside: bool) -> str:
        there = [other for other in self.host.addresses if _is_named(other, name) is inside]
        return self._dice.choice(there) if there else ""

    def _port(self, text: str, *, inside: bool) -> int:
        low, _, high = self._dice.choice(text.split(",")).partition(":")
        first, last = int(low), int(high or low)
        inside ^= self._dice.random() < OUTSIDE
        ends = (first, last) if inside else (first - 1, last + 1)
        return self._dice.choice([port for port in ends if 0 < port < 65536] or [1])

    def _flags(self, mask: str, wanted: str) -> frozenset[str]:
        asked = frozenset(TCP_FLAGS if mask == "ALL" else mask.split(","))
        on = frozenset() if wanted == "NONE" else asked if wanted == "ALL" else frozenset(wanted.split(","))
        if self._dice.random() < OUTSIDE:
            on ^= {self._dice.choice(sorted(asked))}
        return on

    # Other fields

    def _own(self) -> Address:
        version = VERSIONS[self.family]
        return self._dice.choice(
            [e.ip for all_of in self.host.addresses.values() for e in all_of if e.version == version]
        )

    def _behind(self, interface: str) -> Address:
        """Return an address routed by an interface, or one elsewhere if only default routes lead there."""
        version = VERSIONS[self.family]
        routes = [r.network for r in self.host.routes if r.interface == interface and r.network.version == version]
        near = [net for net in routes if net.prefixlen]
        if near:
            net = self._dice.choice(near)
            return net[min(self._dice.randrange(2, 250), net.num_addresses - 1)]
        return ip_address(self._dice.choice(ELSEWHERE[self.family]))

    def _finished(self, draft: Draft, hook: str) -> Packet:
        """Decide the undecided fields, so that the packet passes the hook."""
        sent = hook == "OUTPUT" or (hook == "POSTROUTING" and not draft.inside and self._dice.random() < 0.5)
        links = [name for name in self.host.addresses if name != LOOPBACK]
        inside = "" if sent else draft.inside or self._dice.choice(["eth0", "eth0", *links])
        if sent:
            draft.src = self._own()
        elif draft.src is None or self.host.is_local(draft.src):
            draft.src = self._behind(inside)
        if draft.dst is None or (sent and draft.dst.is_multicast):
            draft.dst = self._target(draft, hook, sent=sent)
        if draft.dst.is_multicast and inside:
            inside = "eth0"  # the Node joins multicast groups there
        if draft.src.is_link_local and not self.host.is_local(draft.dst):
            draft.src = self._behind(inside)  # link-local packets are not forwarded
        return self._with_payload(
            Packet(
                src=draft.src,
                dst=draft.dst,
                protocol=draft.protocol or self._protocol(draft),
                in_interface=inside,
                out_interface=(self.host.route_interface(draft.dst) or "") if sent else "",
                ttl=draft.ttl,
            ),
            draft,
        )

    def _target(self, draft: Draft, hook: str, *, sent: bool) -> Address:
        if draft.outside and draft.outside != LOOPBACK:
            return self._behind(draft.outside)
        if hook == "INPUT" or (hook == "PREROUTING" and self._dice.random() < 0.6):
            return self._own()
        links = [name for name in self.host.addresses if name != LOOPBACK]
        return self._own() if sent and self._dice.random() < 0.1 else self._behind(self._dice.choice(links))

    def _protocol(self, draft: Draft) -> int:
        if draft.flags is not None:
            return protocol_names.TCP
        if draft.icmp is not None:
            return protocol_names.ICMP_OF[self.family]
        if draft.dport is not None or draft.sport is not None or self._dice.random() < 0.7:
            return self._dice.choice(WITH_PORTS)
        return self._dice.choice((*OTHER_PROTOCOLS[self.family], protocol_names.ICMP_OF[self.family]))

    def _with_payload(self, packet: Packet, draft: Draft) -> Packet:
        if packet.protocol in WITH_PORTS:
            sport = draft.sport or self._dice.randrange(1024, 65536)
            dport = draft.dport or self._dice.choice((22, 80, 443, self._dice.randrange(1, 65536)))
            flags = self._dice.choice(FLAGS).split() if draft.flags is None else draft.flags
            flags = frozenset(flags if packet.protocol == protocol_names.TCP else ())
            return replace(packet, sport=sport, dport=dport, flags=flags)
        if packet.protocol != protocol_names.ICMP_OF[self.family]:
            return packet
        icmp = draft.icmp or self._dice.choice(ICMP_TYPES[self.family])
        number = self._dice.randrange(1, 65536)
        if icmp[0] not in ICMP_ERRORS[self.family]:
            return replace(packet, icmp=icmp, icmp_id=number)
        inner = Packet(src=packet.dst, dst=packet.src, protocol=protocol_names.UDP, sport=9, dport=number)
        return replace(packet, icmp=icmp, inner=inner)


def _callers(ruleset: Ruleset, family: Family) -> Mapping[tuple[str, str], list[tuple[str, Rule]]]:
    """Return the rules that jump to each chain, with the chains that they are in, by table and chain name."""
    found: dict[tuple[str, str], list[tuple[str, Rule]]] = defaultdict(list)
    for own, table, chain in ruleset.chains():
        for rule in chain.rules if own is family else ():
            if rule.target is not None:
                found[table.name, rule.target.name].append((chain.name, rule))
    return found


def _networks(text: str) -> Iterator[Network]:
    """Yield the networks of ``ADDRESS[/LENGTH]``, or the two ends of ``ADDRESS-ADDRESS``."""
    for part in text.split("-"):
        yield ip_network(part, strict=False)


def _shifted(address: Address, by: int) -> Address:
    return address + by if 0 < int(address) + by < 1 << address.max_prefixlen else address


def usable_end(address: Address) -> bool:
    """Return True if packets with the address can reach the hooks, before any rule decides."""
    never = address.is_loopback or address.is_unspecified or address.is_link_local or address.is_multicast
    return not never and not (address.version == 4 and (address.is_reserved or int(address) >> 24 == 0))


def _is_named(interface: str, name: str) -> bool:
    return interface.startswith(name[:-1]) if name.endswith("+") else interface == name
