"""Connection tracking across a sequence of packets, as Linux does it (``nf_conntrack``).

A connection exists once its first packet got through all hooks, and is established once a reply was seen. TCP follows
the kernel's state table without sequence numbers and windows; every other protocol with a known tuple is a pair of
directions. Time does not pass: nothing expires. Helpers (FTP and the like) are not modelled.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from engine.ruleset import Family, Hook
from simulator.netfilter import Answer, Verdict, Walker
from simulator.packets import Address, ConnState, Packet, names
from simulator.packets.dissect import ICMP_ERRORS

Tuple = tuple[int, Address, Address, int, int]
"""Protocol, source, destination, and two numbers by protocol: ports, or ICMP type and code with the identifier."""

_FRAGMENT = "connection tracking puts fragments together before the hooks; this one is judged by itself, as INVALID"

_UNTRACKED_ICMPV6 = frozenset({130, 131, 132, 133, 134, 135, 136, 143})
"""Multicast listener and neighbour discovery (``noct_valid_new`` in nf_conntrack_proto_icmpv6.c)."""

_ICMP_REPLY: Mapping[Family, Mapping[int, int]] = {
    Family.IPV4: {8: 0, 13: 14, 15: 16, 17: 18},
    Family.IPV6: {128: 129, 139: 140},
}
"""The ICMP requests that open a connection, and the replies to them."""

_ICMP_PARTNER: Mapping[Family, Mapping[int, int]] = {
    family: {**pairs, **{reply: request for request, reply in pairs.items()}} for family, pairs in _ICMP_REPLY.items()
}

_VALID_FLAGS = frozenset(
    frozenset(flags.split())
    for flags in (*("SYN", "SYN URG", "SYN ACK", "RST", "RST ACK", "FIN ACK", "FIN ACK URG", "ACK", "ACK URG"),)
)
"""Combinations of TCP flags that are valid; PSH, ECE and CWR always are (``tcp_valid_flags``)."""

_CHECKED_FLAGS = frozenset({"FIN", "SYN", "RST", "ACK", "URG"})

# State tables of nf_conntrack_proto_tcp.c, by direction and flag; "IV" is invalid, "IG" is let through unheeded.
_STATES = ("NO", "SS", "SR", "ES", "FW", "CW", "LA", "TW", "CL", "S2")
_TABLES: Mapping[tuple[bool, str], Mapping[str, str]] = {
    (reply, flag): dict(zip(_STATES, row.split(), strict=True))
    for reply, flag, row in (
        (False, "SYN", "SS SS IG IG IG IG IG SS SS S2"),
        (False, "SYNACK", "IV IV SR IV IV IV IV IV IV SR"),
        (False, "FIN", "IV IV FW FW LA LA LA TW CL IV"),
        (False, "ACK", "ES IV ES ES CW CW TW TW CL IV"),
        (False, "RST", "IV CL CL CL CL CL CL CL CL CL"),
        (True, "SYN", "IV S2 IV IV IV IV IV SS IV S2"),
        (True, "SYNACK", "IV SR IG IG IG IG IG IG IG SR"),
        (True, "FIN", "IV IV FW FW LA LA LA TW CL IV"),
        (True, "ACK", "IV IG SR ES CW CW TW TW CL IG"),
        (True, "RST", "IV CL CL CL CL CL CL CL CL CL"),
    )
}


@dataclass(slots=True)
class _Connection:
    """One connection: the tuples of both directions, whether a reply was seen, and TCP's state.

    Where both are the same, as from a port to itself, the kernel takes every later packet for a reply.
    """

    original: Tuple
    reverse: Tuple
    replied: bool = False
    tcp: str = "NO"


class Tracker:
    """The connections of one node."""

    def __init__(self) -> None:
        self._connections: dict[Tuple, _Connection] = {}

    def state_of(self, packet: Packet) -> Packet:
        """Return the packet with its connection state; a packet of a known connection moves that on.

        This happens before any filtering, so it does so even if the packet is then dropped.
        """
        return replace(packet, state=self._state(packet))

    def confirm(self, packet: Packet) -> None:
        """Keep the connection that a NEW packet opens, as it got through all hooks."""
        key = _tuple_of(packet)
        opposite = key and _opposite(key, packet.family)
        if packet.state is not ConnState.NEW or key is None or opposite is None or key in self._connections:
            return
        if _opened(packet) is not ConnState.NEW:  # the RST that ended a connection without a reply
            return
        connection = _Connection(key, opposite, tcp=_next_tcp("NO", packet, reply=False))
        self._connections[key] = self._connections[opposite] = connection

    def answer(self, walker: Walker, packet: Packet, hook: Hook | None = None) -> Answer:
        """Judge the next packet of the sequence in its connection state, and keep its connection if accepted."""
        answer = walker.verdict(self.state_of(packet), hook)
        if answer.verdict is Verdict.ACCEPT and answer.tracked:
            self.confirm(answer.packet)
        return replace(answer, assumptions=(*answer.assumptions, _FRAGMENT)) if packet.fragment else answer

    def _state(self, packet: Packet) -> ConnState:
        if packet.fragment:
            return ConnState.INVALID
        if packet.icmp is not None and packet.protocol == names.ICMP_OF[packet.family]:
            if packet.family is Family.IPV6 and packet.icmp[0] in _UNTRACKED_ICMPV6:
                return ConnState.UNTRACKED
            if packet.icmp[0] in ICMP_ERRORS[packet.family]:
                return self._of_error(packet)
        return self._of_connection(packet)

    def _of_error(self, packet: Packet) -> ConnState:
        """An error belongs to the connection of the packet it quotes, if sent to where that came from."""
        quoted = packet.inner and _tuple_of(packet.inner)
        related = quoted in self._connections and packet.inner is not None and packet.dst == packet.inner.src
        return ConnState.RELATED if related else ConnState.INVALID

    def _of_connection(self, packet: Packet) -> ConnState:
        key = _tuple_of(packet)
        if key is None or _opposite(key, packet.family) is None or not _valid(packet):
            return ConnState.INVALID
        connection = self._connections.get(key)
        if connection is not None and _reopens(connection, key, packet):
            self._forget(connection)
            connection = None
        if connection is None:
            return _opened(packet)
        aborted = "RST" in packet.flags and not connection.replied
        state = _moved(connection, key, packet)
        if aborted and state is not ConnState.INVALID:  # the kernel keeps nothing of a connection that never was
            self._forget(connection)
        return state

    def _forget(self, connection: _Connection) -> None:
        for key in (connection.original, connection.reverse):
            self._connections.pop(key, None)


def follow(walker: Walker, packets: Iterable[Packet], hook: Hook | None = None) -> Iterator[Answer]:
    """Yield the answer to each packet of a sequence, in the connection state that those before have led to."""
    tracker = Tracker()
    for packet in packets:
        yield tracker.answer(walker, packet, hook)


def _tuple_of(packet: Packet) -> Tuple | None:
    """What tells its connection; None where the packet lacks a field for that."""
    numbers: tuple[int | None, int | None] = (0, 0)
    if packet.protocol in names.PORT_PROTOCOLS:
        numbers = (packet.sport, packet.dport)
    elif packet.protocol == names.ICMP_OF[packet.family]:
        numbers = (packet.icmp_id or 0, packet.icmp[0] << 8 | packet.icmp[1] if packet.icmp else None)
    first, second = numbers
    if first is None or second is None:
        return None
    return (packet.protocol, packet.src, packet.dst, first, second)


def _opposite(key: Tuple, family: Family) -> Tuple | None:
    """The tuple of the reply; None for an ICMP type that has none."""
    protocol, src, dst, first, second = key
    if protocol != names.ICMP_OF[family]:
        return (protocol, dst, src, second, first)
    partner = _ICMP_PARTNER[family].get(second >> 8)
    return None if partner is None else (protocol, dst, src, first, partner << 8 | second & 0xFF)


def _valid(packet: Packet) -> bool:
    return packet.protocol != names.TCP or packet.flags & _CHECKED_FLAGS in _VALID_FLAGS


def _flag(packet: Packet) -> str:
    """The flag that TCP's state table goes by (``get_conntrack_index``)."""
    if "SYN" in packet.flags and "RST" not in packet.flags:
        return "SYNACK" if "ACK" in packet.flags else "SYN"
    return next(flag for flag in ("RST", "FIN", "ACK") if flag in packet.flags)


def _next_tcp(state: str, packet: Packet, *, reply: bool) -> str:
    return _TABLES[reply, _flag(packet)][state] if packet.protocol == names.TCP else state


def _reopens(connection: _Connection, key: Tuple, packet: Packet) -> bool:
    """A SYN on a closed connection begins a new one under the same tuple."""
    if packet.protocol != names.TCP or connection.tcp not in {"TW", "CL"}:
        return False
    return _next_tcp(connection.tcp, packet, reply=key == connection.reverse) == "SS"


def _opened(packet: Packet) -> ConnState:
    """The state of a packet that no connection is known for."""
    requests = _ICMP_REPLY[packet.family]
    if packet.protocol == names.ICMP_OF[packet.family]:
        opens = packet.icmp is not None and packet.icmp[0] in requests
    else:
        opens = packet.protocol != names.TCP or _next_tcp("NO", packet, reply=False) != "IV"
    return ConnState.NEW if opens else ConnState.INVALID


def _moved(connection: _Connection, key: Tuple, packet: Packet) -> ConnState:
    """Move the connection on by one of its packets, and return that packet's state."""
    reply = key == connection.reverse
    following = _next_tcp(connection.tcp, packet, reply=reply)
    if following == "IV":
        return ConnState.INVALID
    if following != "IG":
        connection.tcp = following
    connection.replied = connection.replied or reply
    return ConnState.ESTABLISHED if connection.replied else ConnState.NEW
