"""Connection tuples: the keys of a connection in the connection table, one for each direction.

A tuple has protocol, addresses, and ports or ICMP numbers. `tuple_of` returns the tuple of a `Packet`, or None if the
packet lacks a field for it. `reply_tuple` returns the tuple of the replies, or None for an ICMP type without a reply.

Source: the kernel's nf_conntrack_proto_icmp.c and nf_conntrack_proto_icmpv6.c.
"""

from collections.abc import Mapping

from engine.rulesets.model import Family
from simulator.packets import ConnectionTuple, Packet, protocol_names

REPLY_OF: Mapping[Family, Mapping[int, int]] = {
    Family.IPV4: {8: 0, 13: 14, 15: 16, 17: 18},
    Family.IPV6: {128: 129, 139: 140},
}
"""ICMP requests that open a connection, with the type of their reply."""

_PARTNER: Mapping[Family, Mapping[int, int]] = {
    family: {**pairs, **{reply: request for request, reply in pairs.items()}} for family, pairs in REPLY_OF.items()
}


def tuple_of(packet: Packet) -> ConnectionTuple | None:
    """Return the tuple of the packet's connection, or None if the packet lacks a field for it."""
    numbers: tuple[int | None, int | None] = (0, 0)
    if packet.protocol in protocol_names.PORT_PROTOCOLS:
        numbers = (packet.sport, packet.dport)
    elif packet.protocol == protocol_names.ICMP_OF[packet.family]:
        numbers = (packet.icmp_id or 0, packet.icmp[0] << 8 | packet.icmp[1] if packet.icmp else None)
    first, second = numbers
    if first is None or second is None:
        return None
    return (packet.protocol, packet.src, packet.dst, first, second)


def reply_tuple(key: ConnectionTuple) -> ConnectionTuple | None:
    """Return the tuple of the reply direction, or None for an ICMP type that has no reply."""
    protocol, src, dst, first, second = key
    family = Family.IPV4 if src.version == 4 else Family.IPV6
    if protocol != protocol_names.ICMP_OF[family]:
        return (protocol, dst, src, second, first)
    partner = _PARTNER[family].get(second >> 8)
    return None if partner is None else (protocol, dst, src, first, partner << 8 | second & 0xFF)
