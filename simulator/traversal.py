"""A packet's whole way through a node: every hook in the kernel's order, with conntrack, NAT and routing in place.

Arriving packets pass PREROUTING and then INPUT, or FORWARD and POSTROUTING; those of local programs pass OUTPUT and
POSTROUTING, and arrive again where they are for the node itself. Source: ``enum nf_ip_hook_priorities`` and
``nf_nat_inet_fn`` of the kernel. This module knows nothing of how chains are walked.
"""

from dataclasses import dataclass, replace

from engine.rulesets.model import Family, Hook
from simulator.conntrack.tracker import ConnectionTracker, TrackedPacket
from simulator.context import LOOPBACK, Host
from simulator.netfilter import Evaluation, PacketWalk, Verdict, Walker
from simulator.netfilter.nat import DESTINATION_HOOKS, TRANSLATIONS, bound
from simulator.packets import ConnState, Packet, rewritten

_NOT_TRACKED = frozenset({ConnState.INVALID, ConnState.UNTRACKED})

_KINDS = {hook: "DNAT" if hook in DESTINATION_HOOKS else "SNAT" for hook in Hook}


@dataclass(slots=True)
class _Way:
    """One packet on its whole way; ``tracked`` is what conntrack made of it, once it came by there."""

    walker: Walker
    tracker: ConnectionTracker
    passage: PacketWalk
    first: Packet
    hook: Hook
    inside: str = ""
    outside: str = ""
    tracked: TrackedPacket | None = None
    lost: str = ""

    @property
    def host(self) -> Host | None:
        return self.tracker.host

    def enter(self, hook: Hook) -> None:
        """Come to a hook."""
        self.hook = hook
        self.passage.at(hook, self.inside, self.outside)

    def table(self, name: str) -> bool:
        """Walk one table of the hook; return whether the packet goes on."""
        chain = self.walker.chain(self.first.family, name, self.hook)
        return chain is None or self.passage.table(name, chain, self.hook)

    def tables(self, *names: str) -> bool:
        """Walk tables in their order; return whether the packet goes on."""
        return all(self.table(name) for name in names)

    def track(self) -> bool:
        """Walk the raw table and find the packet's connection, unless it has one already from where it was sent.

        What was INVALID there is looked up again where it returns, in the zone that the raw table then says.
        """
        if self.tracked is not None and self.passage.packet.state is not ConnState.INVALID:
            return self.table("raw")
        zone = self.first.zone
        self.passage.packet = replace(self.passage.packet, state=ConnState.INVALID, connection=None, zone=zone)
        if not self.table("raw"):
            return False
        if self.passage.packet.state is ConnState.UNTRACKED:
            self.tracked = TrackedPacket(self.passage.packet)
        else:
            self.tracked = self.tracker.track(self.passage.packet)
            self.passage.packet = self.tracked.packet
        return True

    def translate(self) -> bool:
        """Rewrite addresses: the first packet of a connection by the nat table, later ones as that one was."""
        found, packet, kind = self.tracked, self.passage.packet, _KINDS[self.hook]
        if found is None or found.entry is None or packet.state in _NOT_TRACKED:
            return True
        entry = found.entry
        if packet.state is ConnState.RELATED:
            self.passage.packet = entry.translated_error(packet, kind, replying=found.replying)
            return True
        if kind in entry.settled or packet.state is not ConnState.NEW:
            self.passage.packet = entry.translated(packet, kind, replying=found.replying)
            return True
        before = len(self.passage.trace)
        if not self.table("nat"):
            return False
        if all(step.target not in TRANSLATIONS for step in self.passage.trace[before:]):
            self._bind()
        entry.settle(kind, packet, self.passage.packet)
        known = self.passage.packet.connection
        if known is not None:
            seen = replace(known, reply=entry.reply, rewritten=entry.rewritten)
            self.passage.packet = replace(self.passage.packet, connection=seen)
        return True

    def _bind(self) -> None:
        """Give the connection a free tuple, as a node that translates addresses does even where no rule does so."""
        if not any(self.walker.chain(self.first.family, "nat", hook) for hook in Hook):
            return
        assume = self.passage.assumptions.setdefault
        self.passage.packet = bound(
            self.passage.packet, self.hook, self.tracker.around, lambda what: assume(what, None)
        )

    def keep(self) -> bool:
        """Keep the connection, as its packet got through."""
        if self.tracked is None or self.passage.packet.state in _NOT_TRACKED:
            return True
        if self.tracker.clashes(self.tracked):
            return self.lose("conntrack: answers to it would be taken for those of another connection")
        self.tracker.confirm(replace(self.tracked, packet=self.passage.packet))
        return True

    def look_again(self) -> None:
        """Let the packet bear what has become of its connection since."""
        found = self.tracked
        if found is not None and found.entry is not None and self.passage.packet.connection is not None:
            seen = found.entry.seen_as(replying=found.replying)
            self.passage.packet = replace(self.passage.packet, connection=seen)

    def lose(self, why: str) -> bool:
        """Say why the packet ends here though no rule says so."""
        self.lost = why
        return False

    def answer(self) -> Evaluation:
        """Return what became of the packet."""
        if self.tracked is not None:
            self.tracker.remember(self.tracked, self.passage.packet)
        came = self.first if self.tracked is None else replace(self.first, state=self.tracked.packet.state)
        found = self.passage.answer(came, self.hook, self.inside, self.outside)
        if not self.lost:
            if self.tracked is not None:
                self.tracker.refuse(self.tracked, found)
            return found
        return replace(found, verdict=Verdict.DROP, decided_by=None, assumptions=(*found.assumptions, self.lost))


def arrive(walker: Walker, tracker: ConnectionTracker, packet: Packet) -> Evaluation:
    """Return what becomes of a packet that comes in at its in interface.

    ``hook`` of the answer is the last that it came to, ``left`` the packet as it was there.

    Raises:
        Refused: the ruleset of the packet's family lacks a set or chain, or has a loop.
    """
    way = _way(walker, tracker, packet)
    _arrive(way)
    return way.answer()


def send(walker: Walker, tracker: ConnectionTracker, packet: Packet) -> Evaluation:
    """Return what becomes of a packet that a program of the node sends; answer and errors as of `arrive`."""
    way = _way(walker, tracker, packet)
    way.outside = _way_out(way) or packet.out_interface
    way.enter(Hook.OUTPUT)
    if way.track() and way.table("mangle") and way.translate() and way.tables("filter", "security"):
        way.outside = _way_out(way) or way.outside
        if _leave(way) and way.outside == LOOPBACK:
            way.inside, way.outside = LOOPBACK, ""
            way.look_again()
            _arrive(way)
    return way.answer()


def _way(walker: Walker, tracker: ConnectionTracker, packet: Packet) -> _Way:
    inside, outside = packet.in_interface, packet.out_interface
    return _Way(walker, tracker, PacketWalk(packet, tracker.around), packet, Hook.PREROUTING, inside, outside)


def _arrive(way: _Way) -> bool:
    way.enter(Hook.PREROUTING)
    if way.inside != LOOPBACK and _cannot_arrive(way.passage.packet):
        return way.lose("routing: no other interface takes a loopback address, and no group is a source")
    if not (way.track() and way.table("mangle") and way.translate()):
        return False
    if _is_for_node(way):
        way.outside = ""
        way.enter(Hook.INPUT)
        return way.tables("mangle", "filter", "security") and way.translate() and way.keep()
    return _forward(way)


def _cannot_arrive(packet: Packet) -> bool:
    """Whether IPv6 drops the packet before any hook (``ip6_rcv_core``)."""
    if packet.family is Family.IPV4:
        return False
    return packet.src.is_loopback or packet.dst.is_loopback or packet.src.is_multicast


def _is_for_node(way: _Way) -> bool:
    """By the node's addresses; where they are not known, by whether the packet names an interface to leave by."""
    packet = way.passage.packet
    if way.host is not None:
        inside = way.inside if packet.dst.is_loopback else ""  # another interface does not take those
        return way.host.is_local(packet.dst, inside) or way.host.is_broadcast(packet.dst) or packet.dst.is_multicast
    moved = packet.dst != way.first.dst
    if moved and not way.first.out_interface:
        way.passage.assumptions[f"routing: {packet.dst} is taken for an address of the node, whose are not known"] = (
            None
        )
    return not way.first.out_interface


def _forward(way: _Way) -> bool:
    found = _way_out(way) or way.first.out_interface
    way.hook = Hook.FORWARD
    if way.first.dst.is_multicast:
        return way.lose("routing: what came to a group is not forwarded, though rules send it elsewhere")
    if way.first.family is Family.IPV4 and way.passage.packet.dst.is_loopback:
        return way.lose("routing: unless route_localnet is set, a loopback address comes by no other interface")
    if not found:
        return way.lose(f"routing: there is no route to {way.passage.packet.dst}")
    if way.passage.packet.ttl <= 1:
        return way.lose("routing: the hop limit is used up")
    way.passage.packet = rewritten(way.passage.packet, ttl=way.passage.packet.ttl - 1)
    way.outside = found
    way.enter(Hook.FORWARD)
    return way.tables("mangle", "filter", "security") and _leave(way)


def _leave(way: _Way) -> bool:
    way.enter(Hook.POSTROUTING)
    return way.table("mangle") and way.translate() and way.keep()


def _way_out(way: _Way) -> str | None:
    """The interface that routing leads to; a program may have bound its socket to another, which then stays."""
    packet = way.passage.packet
    if way.host is None or (way.first.out_interface and packet.dst == way.first.dst):
        return None
    if packet.dst.is_loopback and way.inside:  # IPv6 looks for a way through the interface that it came by
        return way.inside if way.host.leads_to(packet.dst, way.inside) else None
    return way.host.way_to(packet.dst)
