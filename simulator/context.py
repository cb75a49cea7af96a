"""Context in which packets are evaluated: the node's addresses and routes, its connections, and memory of rules.

`Host` has the addresses and routes, and answers routing questions. `MatchMemory` holds the counters of stateful rules
(``limit``, ``recent``, ``-j SET``) for one sequence of packets. `ConnectionLookup` is the interface to a connection
table. `PacketContext` bundles the three for the simulation of a packet.

Sources: the kernel's ``inet_select_addr`` and ``__mkroute_output``, and RFC 6724.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface
from typing import Protocol, TypeVar

from engine.ip_types import Address, Network
from simulator.packets import Packet

T = TypeVar("T")

LOOPBACK = "lo"

UNKNOWN_INTERFACE = "/"
"""Interface that the hook has but the packet does not name; no real interface can have this name."""

_ALL_ONES = IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True)
class Route:
    """Destination network and the interface that leads to it."""

    network: Network
    interface: str


@dataclass(frozen=True, slots=True)
class Host:
    """Addresses of a node by interface, each with its prefix, and its routes beyond those prefixes."""

    addresses: Mapping[str, Sequence[IPv4Interface | IPv6Interface]]
    routes: Sequence[Route] = ()

    def is_local(self, address: Address, interface: str = "") -> bool:
        """Return whether the address belongs to the node, or to the given interface of it."""
        if address.is_loopback:
            return interface in {"", LOOPBACK}
        found = self.addresses.items()
        return any(each.ip == address for name, all_of in found if interface in {"", name} for each in all_of)

    def is_broadcast(self, address: Address) -> bool:
        """Return whether the address is the broadcast address of one of the node's networks, or the general one."""
        if address.version == 6:
            return False
        if address in {_ALL_ONES, IPv4Address(0)}:
            return True
        nets = (each.network for all_of in self.addresses.values() for each in all_of)
        return any(net.version == 4 and net.prefixlen < 31 and net.broadcast_address == address for net in nets)

    def route_interface(self, address: Address) -> str | None:
        """Return the interface of the most specific route to an address, or None if there is no route."""
        if self.is_local(address):
            return LOOPBACK
        own = (Route(each.network, name) for name, all_of in self.addresses.items() for each in all_of)
        fitting = [route for route in (*own, *self.routes) if address in route.network]
        # The first of several routes to the same network wins: routes are ordered by metric.
        best = max(fitting, key=lambda route: route.network.prefixlen, default=None)
        return best.interface if best else None

    def has_route_through(self, address: Address, interface: str) -> bool:
        """Return whether any route to the address uses the interface, even if another route is better."""
        own = (each.network for each in self.addresses.get(interface, ()))
        rest = (route.network for route in self.routes if route.interface == interface)
        return any(address in network for network in (*own, *rest))

    def can_send(self, source: Address, destination: Address) -> bool:
        """Return whether the node can send a packet with this source to this destination.

        An IPv4 packet with a loopback source never leaves the node, unless route_localnet is set
        (``__mkroute_output``). The model assumes that it is not set.
        """
        return source.version == 6 or not source.is_loopback or self.is_local(destination)

    def source_for(self, address: Address, interface: str) -> Address | None:
        """Return the source address of a packet to an address through an interface, or None if the node has none.

        An interface without an address uses the first one of another interface (``inet_select_addr``; RFC 6724 in
        IPv6). An IPv6 packet to the node itself uses its destination as source.
        """
        if address.version == 6 and interface == LOOPBACK:
            return address
        others = (name for name in self.addresses if name not in {interface, LOOPBACK})
        found = (self.address_of(name, address.version, beyond=True) for name in (interface, *others))
        return next((own for own in found if own is not None and not own.is_loopback), None)

    def address_of(self, interface: str, version: int, *, beyond: bool = False) -> Address | None:
        """Return the interface's first address of an IP version; ``beyond`` skips link-local addresses."""
        for each in self.addresses.get(interface, ()):
            if each.version == version and not (beyond and each.ip.is_link_local):
                return each.ip
        return None


@dataclass(slots=True)
class MatchMemory:
    """Counters and memory of stateful rules, by rule or by the name that rules share.

    ``began`` and ``latest`` are the first and the last time that a packet carried, in seconds.
    """

    cells: dict[Hashable, object] = field(default_factory=dict)
    began: float | None = None
    latest: float = 0.0

    def elapsed(self, time: float | None) -> float:
        """Return the seconds since the sequence began; a packet without a time adds none."""
        if time is not None:
            self.latest = max(self.latest, time) if self.began is not None else time
            self.began = time if self.began is None else self.began
        return 0.0 if self.began is None else self.latest - self.began

    def cell(self, key: Hashable, fresh: T) -> T:
        """Return the value stored under a key; store ``fresh`` there if the key is new."""
        found = self.cells.setdefault(key, fresh)
        if not isinstance(found, type(fresh)):
            raise TypeError(f"{key!r} is kept as {type(found).__name__}")
        return found


class ConnectionLookup(Protocol):
    """Lookups in the connection table that address translation needs."""

    def taken(self, packet: Packet, left: int) -> bool:
        """Return whether another connection already has the reply tuple of this first packet.

        ``left`` counts the remaining tries, this one included. In the last tries, the lookup evicts a closed TCP
        connection.
        """

    def mapped(self, packet: Packet) -> Iterator[tuple[Address, int]]:
        """Yield the translated sources of other connections from the same source, the newest first."""

    def drawn(self, low: int, count: int, own: int) -> int:
        """Return one of ``count`` numbers from ``low`` on, where the kernel draws at random.

        ``own`` is the packet's own number.
        """


@dataclass(frozen=True, slots=True)
class PacketContext:
    """Node (if known), its connection table, and the rule memory of the packet's sequence."""

    host: Host | None = None
    memory: MatchMemory = field(default_factory=MatchMemory)
    connections: ConnectionLookup | None = None
