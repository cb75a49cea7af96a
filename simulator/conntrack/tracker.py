"""Connection table of one node: finds the connection and the connection state of each packet in a sequence.

Input: packets in order. Output: a `TrackedPacket` per packet, with its state and its entry in the table
(`ConnectionEntry`). The `ConnectionTracker` creates, updates, expires and evicts entries, in each conntrack zone.
`follow` evaluates a sequence with a `Walker` (rules) and a tracker (states).

The table also tells address translation which addresses and ports are in use (`simulator.context.ConnectionLookup`).
Sources: the kernel's nf_conntrack_core.c, nf_nat_core.c and nf_conntrack_proto_icmpv6.c.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

from engine.rulesets.model import Family, Hook
from simulator.conntrack import sctp, tcp
from simulator.conntrack.entry import ConnectionEntry
from simulator.conntrack.tuples import REPLY_OF, reply_tuple, tuple_of
from simulator.context import Host, PacketContext
from simulator.netfilter import Evaluation, Verdict, Walker
from simulator.netfilter.nat_tuples import nearest
from simulator.packets import Address, ConnectionTuple, ConnState, Packet, protocol_names
from simulator.packets.dissect import ICMP_ERRORS

_FRAGMENT = "connection tracking puts fragments together before the hooks; this one is judged by itself, as INVALID"
_FULL = "the connection table is full; the entry unused for longest was given up"

_UNTRACKED_ICMPV6 = frozenset({130, 131, 132, 133, 134, 135, 136, 143})
"""Multicast listener and neighbour discovery (``noct_valid_new`` in nf_conntrack_proto_icmpv6.c)."""

MOST_CONNECTIONS = 262_144
"""Default table size of a node with a few GB of memory (``nf_conntrack_max``)."""

NatSource = tuple[int, int, Address, int]
"""Zone, protocol, address, and port or ICMP identifier."""

_EVICTION_TRIES = 32
"""Once this many tries are left, a new connection may evict a closed one (``NF_NAT_HARDER_THRESH``)."""

_EVICTABLE_STATES = frozenset({"TW", "CL", "S2"})
"""TCP states that may be evicted (``nf_nat_may_kill``): those from ``TCP_CONNTRACK_TIME_WAIT`` on."""

_OPENING = frozenset({"SYN", "ACK"})

_SWEEP = 4096
"""Number of new connections between two removals of expired ones."""


@dataclass(frozen=True, slots=True)
class TrackedPacket:
    """Packet with its connection state, the entry that it belongs to or would open, and its direction."""

    packet: Packet
    entry: ConnectionEntry | None = None
    replying: bool = False


@dataclass(slots=True)
class ConnectionTracker:
    """Connection table of one node, with the counters and memory of its rules in ``around``.

    Attributes:
        host: Addresses and routes of the node, if known.
        most: Maximum number of connections.
        draw: Picks one of ``count`` numbers from ``low`` on, where the kernel picks a random one. The third argument is
            the packet's own number.
        around: Context that rules are evaluated in.
    """

    host: Host | None = None
    most: int = MOST_CONNECTIONS
    draw: Callable[[int, int, int], int] = nearest
    around: PacketContext = field(init=False)
    _connections: dict[tuple[int, ConnectionTuple], ConnectionEntry] = field(default_factory=dict)
    _by_source: dict[NatSource, list[ConnectionEntry]] = field(default_factory=dict)
    _opened: int = 0

    def __post_init__(self) -> None:
        self.around = PacketContext(self.host, connections=self)

    def __len__(self) -> int:
        return len(self._connections)

    def state_of(self, packet: Packet) -> Packet:
        """Return the packet with its connection state, and update its connection if that is known.

        This happens before filtering, so the connection is updated even if rules then drop the packet.
        """
        return self.track(packet).packet

    def track(self, packet: Packet) -> TrackedPacket:
        """Return the packet with its connection, and update that connection if it is known."""
        found = self._tracked(packet)
        seen = found.entry.as_connection(replying=found.replying) if found.entry else None
        return replace(found, packet=replace(found.packet, connection=seen))

    def confirm(self, found: TrackedPacket) -> bool:
        """Store the connection of a NEW packet that passed all hooks; return whether another was evicted."""
        entry, packet = found.entry, found.packet
        if entry is None:
            return False
        self.remember(found, packet)
        if entry.confirmed or packet.state is not ConnState.NEW:
            return False
        if any(key in self._connections for key in entry.keys) or _opening(packet) is not ConnState.NEW:
            return False  # an RST that ended an unanswered connection does not open a new one
        entry.confirmed = True
        entry.touch(packet.time)
        self._connections.update(dict.fromkeys(entry.keys, entry))
        if "SNAT" in entry.settled:
            self._by_source.setdefault(_source(entry.zone, entry.original), []).append(entry)
        return self._make_room(packet.time)

    def clashes(self, found: TrackedPacket) -> bool:
        """Return whether another connection already has a tuple of this new one; the kernel then drops the packet."""
        entry = found.entry
        if entry is None or entry.confirmed:
            return False
        return any(self._known(key, found.packet.time) is not None for key in entry.keys)

    def remember(self, found: TrackedPacket, packet: Packet) -> None:
        """Store the mark that rules gave the connection, even if they then dropped the packet."""
        if found.entry is not None and packet.connection is not None:
            found.entry.mark = packet.connection.mark

    def taken(self, packet: Packet, left: int) -> bool:
        """See `ConnectionLookup.taken`; the entry of the same first packet does not count."""
        key = tuple_of(packet)
        answer = reply_tuple(key) if key else None
        found = self._known((packet.zone, answer), packet.time) if answer else None
        own = packet.connection.original if packet.connection else None
        if found is None or found.original == own:
            return False
        gives_way = found.tcp in _EVICTABLE_STATES and "SNAT" in found.rewritten and packet.flags & _OPENING == {"SYN"}
        if left > _EVICTION_TRIES or not gives_way:
            return True
        self._forget(found)
        return False

    def refuse(self, found: TrackedPacket, answer: Evaluation) -> None:
        """Close the TCP connection of a packet that a rule rejected with an RST, because conntrack sees that RST too.

        The RST that answers an untracked packet is tracked, whatever the raw table says (``nf_conntrack_attach``).
        """
        entry, left = found.entry, answer.left
        resets = answer.verdict is Verdict.REJECT and (answer.reject_with or "").endswith("tcp-reset")
        if not resets or left.protocol != protocol_names.TCP or "RST" in left.flags:
            return
        if self.host is not None and not self.host.can_send(left.dst, left.src):
            return
        if left.state is ConnState.UNTRACKED:
            self.track(_reset_reply(left))
        elif entry is not None:
            entry.tcp = "CL"
            entry.touch(left.time)

    def mapped(self, packet: Packet) -> Iterator[tuple[Address, int]]:
        """See `ConnectionLookup.mapped`."""
        key = tuple_of(packet)
        for entry in reversed(self._by_source.get(_source(packet.zone, key), ())) if key else ():
            _protocol, _source_of_answer, address, first, second = entry.reply
            yield address, second if packet.protocol in protocol_names.PORT_PROTOCOLS else first

    def drawn(self, low: int, count: int, own: int) -> int:
        """See `ConnectionLookup.drawn`."""
        return self.draw(low, count, own)

    def answer(self, walker: Walker, packet: Packet, hook: Hook | None = None) -> Evaluation:
        """Evaluate the next packet of the sequence in its connection state; store its connection if accepted."""
        found = self.track(packet)
        answer = walker.verdict(found.packet, hook, self.around)
        self.remember(found, answer.left)
        self.refuse(found, answer)
        assumed = [_FRAGMENT] if packet.fragment else []
        if answer.verdict is Verdict.ACCEPT and answer.tracked:
            kept = replace(found.packet, connection=answer.left.connection)
            assumed += [_FULL] if self.confirm(replace(found, packet=kept)) else []
        return replace(answer, assumptions=(*answer.assumptions, *assumed)) if assumed else answer

    def _make_room(self, now: float | None) -> bool:
        self._opened += 1
        if self._opened % _SWEEP == 0 and now is not None:
            for entry in [each for each in self._connections.values() if each.until is not None and each.until < now]:
                self._forget(entry)
        full = len(self._connections) > 2 * self.most
        for entry in list(islice(self._connections.values(), 1 if full else 0)):
            self._forget(entry)
        return full

    def _tracked(self, packet: Packet) -> TrackedPacket:
        if packet.fragment:
            return _without_entry(packet, ConnState.INVALID)
        if packet.icmp is not None and packet.protocol == protocol_names.ICMP_OF[packet.family]:
            if packet.family is Family.IPV6 and packet.icmp[0] in _UNTRACKED_ICMPV6:
                return _without_entry(packet, ConnState.UNTRACKED)
            if packet.icmp[0] in ICMP_ERRORS[packet.family]:
                return self._of_error(packet)
        return self._of_connection(packet)

    def _of_error(self, packet: Packet) -> TrackedPacket:
        """Relate an ICMP error to the quoted packet's connection, if it is sent to that packet's source."""
        quoted = tuple_of(packet.inner) if packet.inner else None
        back = reply_tuple(quoted) if quoted else None
        entry = self._known((packet.zone, back), packet.time) if back else None
        if entry is None or packet.inner is None or packet.dst != packet.inner.src:
            return _without_entry(packet, ConnState.INVALID)
        replying = (packet.zone, back) == entry.keys[1]
        return TrackedPacket(replace(packet, state=ConnState.RELATED), entry, replying)

    def _known(self, key: tuple[int, ConnectionTuple], now: float | None) -> ConnectionEntry | None:
        entry = self._connections.get(key)
        if entry is not None and now is not None and entry.until is not None and entry.until < now:
            self._forget(entry)
            return None
        return entry

    def _of_connection(self, packet: Packet) -> TrackedPacket:
        key = tuple_of(packet)
        reply = reply_tuple(key) if key else None
        if key is None or reply is None or not tcp.has_valid_flags(packet):
            return _without_entry(packet, ConnState.INVALID)
        zoned = (packet.zone, key)
        entry = self._known(zoned, packet.time)
        if entry is not None and _reopens(entry, zoned, packet):
            self._forget(entry)
            entry = None
        if entry is None:
            state = _opening(packet)
            moved = tcp.next_state("NO", packet, reply=False) if state is ConnState.NEW else "NO"
            association = sctp.Association() if packet.protocol == protocol_names.SCTP else None
            opened = ConnectionEntry(key, reply, packet.zone, tcp=moved, association=association)
            if state is ConnState.INVALID or (association is not None and not association.opens(packet)):
                return _without_entry(packet, ConnState.INVALID)
            return TrackedPacket(replace(packet, state=state), opened)
        aborted = "RST" in packet.flags and not entry.replied
        found = _advance(entry, zoned, packet)
        if aborted and found.packet.state is not ConnState.INVALID:  # the kernel drops an unanswered connection at RST
            self._forget(entry)
        return found

    def _forget(self, entry: ConnectionEntry) -> None:
        for key in entry.keys:
            self._connections.pop(key, None)
        if "SNAT" in entry.settled:
            source = _source(entry.zone, entry.original)
            self._by_source[source] = [other for other in self._by_source.get(source, ()) if other is not entry]


def follow(
    walker: Walker, packets: Iterable[Packet], hook: Hook | None = None, host: Host | None = None
) -> Iterator[Evaluation]:
    """Yield the evaluation of each packet of a sequence, in the connection state that earlier packets led to."""
    tracker = ConnectionTracker(host)
    for packet in packets:
        yield tracker.answer(walker, packet, hook)


def _source(zone: int, key: ConnectionTuple) -> NatSource:
    return zone, key[0], key[1], key[3]


def _reset_reply(packet: Packet) -> Packet:
    """Return the RST that answers a segment, without a zone."""
    back = replace(packet, src=packet.dst, dst=packet.src, sport=packet.dport, dport=packet.sport)
    return replace(back, flags=frozenset({"RST"}), zone=0, connection=None, wire=None)


def _without_entry(packet: Packet, state: ConnState) -> TrackedPacket:
    return TrackedPacket(replace(packet, state=state))


def _reopens(entry: ConnectionEntry, key: tuple[int, ConnectionTuple], packet: Packet) -> bool:
    """Return whether a SYN opens a new connection under the tuple of a closed or self-reset one."""
    reply = key == entry.keys[1]
    return _begins_anew(entry, packet, reply=reply) and (entry.closing or entry.last == (reply, "RST"))


def _begins_anew(entry: ConnectionEntry, packet: Packet, *, reply: bool) -> bool:
    return entry.over and tcp.next_state(entry.tcp, packet, reply=reply) == "SS"


def _opening(packet: Packet) -> ConnState:
    """Return the state of a packet that belongs to no known connection."""
    if packet.protocol == protocol_names.ICMP_OF[packet.family]:
        opens = packet.icmp is not None and packet.icmp[0] in REPLY_OF[packet.family]
    else:
        opens = packet.protocol != protocol_names.TCP or tcp.next_state("NO", packet, reply=False) != "IV"
    return ConnState.NEW if opens else ConnState.INVALID


def _advance(entry: ConnectionEntry, key: tuple[int, ConnectionTuple], packet: Packet) -> TrackedPacket:
    """Update the connection with one of its packets; return that packet with its state."""
    reply = key == entry.keys[1]
    before, after = entry.tcp, _following(entry, packet, reply=reply)
    association = entry.association
    if after == "IV" or (association is not None and not association.follows(packet, reply=reply)):
        return _without_entry(packet, ConnState.INVALID)
    if packet.protocol == protocol_names.TCP:
        _move_tcp(entry, packet, after, reply=reply)
    answered = entry.replied and before in {"SR", "ES"} and after == "ES"
    entry.assured = entry.assured or answered or (association is not None and association.assured)
    entry.replied = entry.replied or reply
    entry.touch(packet.time)
    state = ConnState.ESTABLISHED if entry.replied else ConnState.NEW
    return TrackedPacket(replace(packet, state=state), entry, reply)


def _following(entry: ConnectionEntry, packet: Packet, *, reply: bool) -> str:
    """Return the next TCP state; after a simultaneous open, an ACK of either side completes the handshake."""
    after = tcp.next_state(entry.tcp, packet, reply=reply)
    last = entry.simultaneous and after == "SR" and tcp.flag_of(packet) == "ACK"
    return "ES" if last else after


def _move_tcp(entry: ConnectionEntry, packet: Packet, after: str, *, reply: bool) -> None:
    """Update the TCP state, except for a SYN of unknown validity and for a challenge ACK."""
    flag = tcp.flag_of(packet)
    if entry.tcp == "LA" and reply and flag == "ACK" and entry.last == (False, "SYN"):
        entry.last = None  # a challenge ACK (RFC 5961) does not acknowledge the FIN
        return
    if after != "IG" and not _begins_anew(entry, packet, reply=reply):
        entry.tcp = after
        entry.closing = entry.closing or after == "FW"
        entry.simultaneous = entry.simultaneous or after == "S2"
    elif flag == "SYN" and not reply:  # possibly the first packet of another handshake
        entry.simultaneous = False
    entry.last = reply, flag
