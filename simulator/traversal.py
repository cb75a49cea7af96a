"""Traversal of a node by one packet: evaluates every hook on its path, with connection tracking, NAT and routing.

Input: a `Walker` (evaluates the ruleset at one hook), a `ConnectionTracker` (connection table) and a `Packet`. Output:
an `Evaluation` with the verdict and the last hook. Raises `Refused` if a rule refers to a missing set or chain, or if
jumps form a loop.

An arriving packet passes PREROUTING; then INPUT if it is for the node, else FORWARD and POSTROUTING. A packet of a
local program passes OUTPUT and POSTROUTING. If it is for the node itself, it then arrives like other packets.

Sources: the kernel's ``enum nf_ip_hook_priorities`` and ``nf_nat_inet_fn``.
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
class _Traversal:
    """One packet's traversal; ``tracked`` is set after the packet passed connection tracking."""

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
        """Move the packet to a hook."""
        self.hook = hook
        self.passage.at(hook, self.inside, self.outside)

    def table(self, name: str) -> bool:
        """Evaluate one table of the hook; return whether the packet continues."""
        chain = self.walker.chain(self.first.family, name, self.hook)
        return chain is None or self.passage.table(name, chain, self.hook)

    def tables(self, *names: str) -> bool:
        """Evaluate tables in order; return whether the packet continues."""
        return all(self.table(name) for name in names)

    def track(self) -> bool:
        """Evaluate the raw table and look the connection up, unless the packet already has one from the OUTPUT hook.

        A packet that was INVALID there is looked up again when it returns, in the zone that the raw table then sets.
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
        """Translate addresses: a connection's first packet by the nat table, later ones like the first."""
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
        """Give the connection a free tuple: with a nat table the kernel does this even if no rule matches."""
        if not any(self.walker.chain(self.first.family, "nat", hook) for hook in Hook):
            return
        assume = self.passage.assumptions.setdefault
        self.passage.packet = bound(
            self.passage.packet, self.hook, self.tracker.around, lambda what: assume(what, None)
        )

    def keep(self) -> bool:
        """Store the connection after its packet passed all hooks; return whether the packet continues."""
        if self.tracked is None or self.passage.packet.state in _NOT_TRACKED:
            return True
        if self.tracker.clashes(self.tracked):
            return self.lose("conntrack: answers to it would be taken for those of another connection")
        self.tracker.confirm(replace(self.tracked, packet=self.passage.packet))
        return True

    def refresh_connection(self) -> None:
        """Refresh the packet's copy of its connection."""
        found = self.tracked
        if found is not None and found.entry is not None and self.passage.packet.connection is not None:
            seen = found.entry.as_connection(replying=found.replying)
            self.passage.packet = replace(self.passage.packet, connection=seen)

    def lose(self, why: str) -> bool:
        """Record why the packet ends here without a rule that drops it; return False."""
        self.lost = why
        return False

    def answer(self) -> Evaluation:
        """Return the result of the traversal."""
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
    """Evaluate a packet that arrives at its input interface.

    ``hook`` of the result is the last hook that the packet reached; ``left`` is the packet at that point.

    Raises:
        Refused: The ruleset of the packet's family lacks a set or chain, or has a loop.
    """
    way = _traversal(walker, tracker, packet)
    _arrive(way)
    return way.answer()


def send(walker: Walker, tracker: ConnectionTracker, packet: Packet) -> Evaluation:
    """Evaluate a packet that a program on the node sends; result and errors are those of `arrive`."""
    way = _traversal(walker, tracker, packet)
    way.outside = _output_interface(way) or packet.out_interface
    way.enter(Hook.OUTPUT)
    if way.track() and way.table("mangle") and way.translate() and way.tables("filter", "security"):
        way.outside = _output_interface(way) or way.outside
        if _leave(way) and way.outside == LOOPBACK:
            way.inside, way.outside = LOOPBACK, ""
            way.refresh_connection()
            _arrive(way)
    return way.answer()


def _traversal(walker: Walker, tracker: ConnectionTracker, packet: Packet) -> _Traversal:
    inside, outside = packet.in_interface, packet.out_interface
    return _Traversal(walker, tracker, PacketWalk(packet, tracker.around), packet, Hook.PREROUTING, inside, outside)


def _arrive(way: _Traversal) -> bool:
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
    """Return whether IPv6 drops the packet before any hook (``ip6_rcv_core``)."""
    if packet.family is Family.IPV4:
        return False
    return packet.src.is_loopback or packet.dst.is_loopback or packet.src.is_multicast


def _is_for_node(way: _Traversal) -> bool:
    """Decide by the node's addresses; if they are unknown, by whether the packet names an output interface."""
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


def _forward(way: _Traversal) -> bool:
    found = _output_interface(way) or way.first.out_interface
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


def _leave(way: _Traversal) -> bool:
    way.enter(Hook.POSTROUTING)
    return way.table("mangle") and way.translate() and way.keep()


def _output_interface(way: _Traversal) -> str | None:
    """Return the interface that routing chooses, or None to keep the one that the packet names."""
    packet = way.passage.packet
    if way.host is None or (way.first.out_interface and packet.dst == way.first.dst):
        return None
    if packet.dst.is_loopback and way.inside:  # IPv6 looks for a way through the interface that it came by
        return way.inside if way.host.has_route_through(packet.dst, way.inside) else None
    return way.host.route_interface(packet.dst)
