"""Entry of the connection table: addresses and ports of both directions, protocol state, timeout and translation.

A `ConnectionEntry` changes with each packet and belongs to a `ConnectionTracker`. Rules match a frozen copy of it, a
`Connection`. The entry also rewrites later packets and ICMP errors, with the address translation of the connection's
first packet.

Source: ``struct nf_conn`` and nf_nat_core.c of the kernel.
"""

from dataclasses import dataclass, replace

from simulator.conntrack import sctp, tcp
from simulator.conntrack.tuples import reply_tuple, tuple_of
from simulator.packets import Connection, ConnectionTuple, Packet, protocol_names, rewritten

_UDP, _UDP_STREAM, _ICMP, _OTHER = 30, 120, 30, 600
"""Seconds that an idle entry is kept: the kernel's defaults (nf_conntrack-sysctl)."""

EntryKeys = tuple[tuple[int, ConnectionTuple], tuple[int, ConnectionTuple]]


@dataclass(slots=True)
class ConnectionEntry:
    """One connection: the tuples of both directions, its zone, and its state.

    If both tuples are equal, as from a port to itself, the kernel treats every later packet as a reply.

    Attributes:
        replied: Whether a reply was seen.
        assured: Whether the ``ASSURED`` bit is set, so that the kernel does not evict the entry early.
        confirmed: Whether the first packet passed all hooks.
        tcp: TCP state, as in `simulator.conntrack.tcp`.
        closing: Whether a FIN began to close the connection.
        simultaneous: Whether both sides sent a SYN.
        last: Direction (True is reply) and flag of the last TCP segment.
        settled: Kinds of translation (``DNAT``, ``SNAT``) that are decided.
        rewritten: Kinds of translation that change a packet.
        until: Time of expiry in seconds since 1970; None if no packet had a time.
    """

    original: ConnectionTuple
    reply: ConnectionTuple
    zone: int = 0
    replied: bool = False
    assured: bool = False
    confirmed: bool = False
    tcp: str = "NO"
    closing: bool = False
    simultaneous: bool = False
    last: tuple[bool, str] | None = None
    association: sctp.Association | None = None
    mark: int = 0
    settled: frozenset[str] = frozenset()
    rewritten: frozenset[str] = frozenset()
    until: float | None = None

    @property
    def keys(self) -> EntryKeys:
        """Both keys of the entry in the connection table."""
        return (self.zone, self.original), (self.zone, self.reply)

    @property
    def over(self) -> bool:
        """Whether it is a closed TCP connection."""
        return self.tcp in {"TW", "CL"}

    def as_connection(self, *, replying: bool) -> Connection:
        """Return the part of the entry that rules can match."""
        flags = {"SEEN_REPLY": self.replied, "ASSURED": self.assured, "CONFIRMED": self.confirmed}
        status = frozenset(word for word, is_so in flags.items() if is_so)
        return Connection(self.original, self.reply, replying, status, self.rewritten, self.mark)

    def touch(self, now: float | None) -> None:
        """Restart the expiry timer."""
        if now is not None:
            self.until = now + self._timeout()

    def _timeout(self) -> int:
        protocol = self.original[0]
        if protocol == protocol_names.TCP:
            return tcp.TIMEOUTS[self.tcp]
        if self.association is not None:
            return sctp.TIMEOUTS[self.association.state]
        if protocol in {protocol_names.UDP, protocol_names.UDPLITE}:
            return _UDP_STREAM if self.replied else _UDP
        return _ICMP if protocol in protocol_names.ICMP_OF.values() else _OTHER

    def settle(self, kind: str, before: Packet, after: Packet) -> None:
        """Record how rules rewrote the first packet, for destinations (DNAT) or sources (SNAT)."""
        self.settled |= {kind}
        key = tuple_of(after)
        answer = reply_tuple(key) if key else None
        if answer is not None and key != tuple_of(before):
            self.reply = answer
            self.rewritten |= {kind}

    def translated(self, packet: Packet, kind: str, *, replying: bool) -> Packet:
        """Return a later packet rewritten as the first one was; a reply is rewritten back."""
        opposite_kind = {"DNAT": "SNAT", "SNAT": "DNAT"}[kind]
        if (opposite_kind if replying else kind) not in self.rewritten:
            return packet
        target = reply_tuple(self.original if replying else self.reply)
        if target is None:
            return packet
        return _with_destination(packet, target) if kind == "DNAT" else _with_source(packet, target)

    def translated_error(self, packet: Packet, kind: str, *, replying: bool) -> Packet:
        """Return an ICMP error about this connection with its addresses and its quoted packet rewritten."""
        opposite_kind = {"DNAT": "SNAT", "SNAT": "DNAT"}[kind]
        if (opposite_kind if replying else kind) not in self.rewritten:
            return packet
        target = reply_tuple(self.original if replying else self.reply)
        if target is None or packet.inner is None:
            return packet
        quoted = reply_tuple(target)
        inner = packet.inner
        if kind == "DNAT":
            outer = rewritten(packet, dst=target[2])
            inner = _with_source(inner, quoted) if quoted else inner
        else:
            outer = rewritten(packet, src=target[1])
            inner = _with_destination(inner, quoted) if quoted else inner
        return replace(outer, inner=inner)


def _with_destination(packet: Packet, target: ConnectionTuple) -> Packet:
    port = target[4] if packet.protocol in protocol_names.PORT_PROTOCOLS else None
    return rewritten(packet, dst=target[2], dport=port, icmp_id=_identifier(packet, target))


def _with_source(packet: Packet, target: ConnectionTuple) -> Packet:
    port = target[3] if packet.protocol in protocol_names.PORT_PROTOCOLS else None
    return rewritten(packet, src=target[1], sport=port, icmp_id=_identifier(packet, target))


def _identifier(packet: Packet, target: ConnectionTuple) -> int | None:
    """Return the ICMP identifier; it is the same in both directions, so either rewrite sets it."""
    return target[3] if packet.icmp_id is not None else None
