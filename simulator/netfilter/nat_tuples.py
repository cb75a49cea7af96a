"""Choice of the new address and port that address translation gives a connection, as the kernel chooses them.

Input: a connection's first packet, a `NatRange` (allowed addresses and ports), and the existing connections. Output:
the rewritten packet. If possible, its addresses and ports are not in use by another connection, and the packet keeps
its own values.

Source: ``get_unique_tuple`` and ``nf_nat_l4proto_unique_tuple`` of the kernel's nf_nat_core.
"""

import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from engine.ip_types import Address
from simulator.context import ConnectionLookup
from simulator.packets import Packet, protocol_names, rewritten

Assume = Callable[[str], None]
PortBounds = tuple[int, int]

_ALL = 0xFFFFFFFF

_ATTEMPTS = 128
"""Consecutive numbers that the kernel tries."""


@dataclass(frozen=True, slots=True)
class NatRange:
    """Addresses and ports to choose from; None keeps the packet's own.

    ``drawn`` requests a random port. ``persistent`` gives a source the same address for every destination.
    """

    addresses: tuple[Address, Address] | None
    ports: PortBounds | None = None
    drawn: bool = False
    persistent: bool = False


@dataclass(frozen=True, slots=True)
class NatBinding:
    """One translation: the range, the end of the packet to rewrite, and the existing connections."""

    wanted: NatRange
    source: bool
    connections: ConnectionLookup | None
    assume: Assume

    def bound(self, packet: Packet) -> Packet:
        """Return the first packet of a connection with its new source or destination."""
        drawn = self.wanted.drawn
        if self.source and not drawn and (found := self._kept(packet)) is not None:
            return found
        moved = self._at(packet, _chosen(self.wanted, packet, source=self.source))
        if not drawn and self._fits(moved):
            return moved
        return self._renumbered(moved)

    def _kept(self, packet: Packet) -> Packet | None:
        """Return the packet with its own source, or with the translated source of another connection.

        Returns None if the first source within the range is taken, or if there is none.
        """
        if self._in_range(packet):
            return None if self._taken(packet) else packet
        for address, number in self.connections.mapped(packet) if self.connections else ():
            found = _numbered(rewritten(packet, src=address), number, source=True)
            if self._in_range(found):
                return None if self._taken(found) else found
        return None

    def _in_range(self, packet: Packet) -> bool:
        addresses = self.wanted.addresses
        here = packet.src if self.source else packet.dst
        inside = addresses is None or int(addresses[0]) <= int(here) <= int(addresses[1])
        return inside and (self.wanted.ports is None or self._has_port_of(packet, self.wanted.ports))

    def _has_port_of(self, packet: Packet, ports: PortBounds) -> bool:
        number = _number(packet, source=self.source)
        return number is not None and ports[0] <= number <= ports[1]

    def _fits(self, packet: Packet) -> bool:
        ports = self.wanted.ports
        if ports is None:
            return not self._taken(packet)
        return self._has_port_of(packet, ports) and (ports[0] == ports[1] or not self._taken(packet))

    def _taken(self, packet: Packet, left: int = _ATTEMPTS) -> bool:
        return self.connections is not None and self.connections.taken(packet, left)

    def _at(self, packet: Packet, address: Address | None) -> Packet:
        return rewritten(packet, src=address) if self.source else rewritten(packet, dst=address)

    def _renumbered(self, packet: Packet) -> Packet:
        """Return the packet with the first free port or ICMP identifier, or with the last one tried if none is free."""
        span = self._span(packet)
        if span is None:
            return packet
        low, count = span
        own = _number(packet, source=self.source) or 0
        at_random = count > 1 and (self.source or self.wanted.drawn)
        start = self._drawn(low, count, own) - low if at_random else 0
        found = packet
        tries = min(count, _ATTEMPTS)
        for step in range(tries):
            found = _numbered(packet, low + (start + step) % count, source=self.source)
            if not self._taken(found, tries - step):
                break
        if at_random:
            what = f"the kernel draws a free port of {low}-{low + count - 1} at random"
            self.assume(f"{what}; taken as {_number(found, source=self.source)}")
        return found

    def _drawn(self, low: int, count: int, own: int) -> int:
        if self.connections is not None:
            return self.connections.drawn(low, count, own)
        return nearest(low, count, own)

    def _span(self, packet: Packet) -> tuple[int, int] | None:
        """Return the lowest allowed port or ICMP identifier and their count; None if the packet's may not change."""
        number = _number(packet, source=self.source)
        if number is None:
            return None
        if self.wanted.ports is not None:
            low, high = self.wanted.ports
            return low, high - low + 1
        if packet.icmp_id is not None:
            return 0, 65536
        if not self.source:
            return None
        return (1, 511) if number < 512 else (600, 424) if number < 1024 else (1024, 64512)


def nearest(low: int, count: int, own: int) -> int:
    """Return ``own`` if it is one of ``count`` numbers from ``low`` on, else ``low``."""
    return own if low <= own < low + count else low


def _number(packet: Packet, *, source: bool) -> int | None:
    """Return the number that translation may change: a port, or the identifier of an ICMP query at either end."""
    if packet.icmp_id is not None:
        return packet.icmp_id
    return packet.sport if source else packet.dport


def _numbered(packet: Packet, number: int, *, source: bool) -> Packet:
    if packet.icmp_id is not None:
        return rewritten(packet, icmp_id=number)
    if packet.protocol not in protocol_names.PORT_PROTOCOLS:
        return packet
    return rewritten(packet, sport=number) if source else rewritten(packet, dport=number)


def _chosen(wanted: NatRange, packet: Packet, *, source: bool) -> Address | None:
    """Choose an address by a hash of source and destination (``find_best_ips_proto``).

    The kernel hashes words in host byte order and chooses them in network byte order. For a destination, each chosen
    word replaces the old one before the next word is chosen.
    """
    found = wanted.addresses
    if found is None or found[0] == found[1]:
        return found[0] if found else None
    near, far = (_words(end, "=") for end in (packet.src, packet.dst))
    hashed = jhash2((*near, 0, 0, 0)[:4], 0 if wanted.persistent else far[-1] ^ packet.zone)
    chosen, free = [], False
    for place, (low, high) in enumerate(zip(_words(found[0]), _words(found[1]), strict=True)):
        count = _ALL if free else high - low + 1 & _ALL
        chosen.append((0 if free else low) + (hashed * count >> 32) & _ALL)
        free = free or chosen[-1] != high
        if not wanted.persistent:
            hashed ^= far[place] if source else _swapped(chosen[-1])
    return ip_address(struct.pack(f"!{len(chosen)}I", *chosen))


def _words(address: Address, order: str = "!") -> tuple[int, ...]:
    return struct.unpack(f"{order}{len(address.packed) // 4}I", address.packed)


def _swapped(word: int) -> int:
    """Return a word in network byte order as the machine reads it."""
    return int.from_bytes(word.to_bytes(4), sys.byteorder)


def jhash2(words: Sequence[int], start: int) -> int:
    """Return the hash of 32-bit words that the kernel's jhash.h defines (Bob Jenkins' lookup3, 2006)."""
    a = b = c = (0xDEADBEEF + 4 * len(words) + start) & _ALL
    left = list(words)
    while len(left) > 3:
        a, b, c = _mixed(a + left[0] & _ALL, b + left[1] & _ALL, c + left[2] & _ALL)
        left = left[3:]
    first, second, third = (*left, 0, 0)[:3]
    return _final(a + first & _ALL, b + second & _ALL, c + third & _ALL)


def _mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    for shift in (4, 6, 8, 16, 19, 4):
        a = a - c & _ALL ^ _turned(c, shift)
        a, b, c = b, c + b & _ALL, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for shift in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - _turned(b, shift) & _ALL
        a, b, c = b, c, a
    return b


def _turned(word: int, left: int) -> int:
    return (word << left | word >> 32 - left) & _ALL
