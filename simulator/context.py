"""What a verdict depends on beyond rules and packet: the node's addresses and routes, and what rules remember.

Rules such as ``limit``, ``recent`` and ``-j SET`` count and remember; `MatchMemory` holds that for one sequence of
packets.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface
from typing import Protocol, TypeVar

from engine.policy.prefix_sets import Address, Network
from simulator.packets import Packet

T = TypeVar("T")

LOOPBACK = "lo"

UNKNOWN_INTERFACE = "/"
"""An interface that the hook has but the packet does not name; no real one is called so."""

_ALL_ONES = IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True)
class Route:
    """A route: the destinations, and the interface that leads to them."""

    network: Network
    interface: str


@dataclass(frozen=True, slots=True)
class Host:
    """A node's addresses by interface, each with its prefix, and its routes beyond those of the prefixes."""

    addresses: Mapping[str, Sequence[IPv4Interface | IPv6Interface]]
    routes: Sequence[Route] = ()

    def is_local(self, address: Address, interface: str = "") -> bool:
        """Whether a packet to the address is for the node itself; with an interface, whether it has the address."""
        if address.is_loopback:
            return interface in {"", LOOPBACK}
        found = self.addresses.items()
        return any(each.ip == address for name, all_of in found if interface in {"", name} for each in all_of)

    def is_broadcast(self, address: Address) -> bool:
        """Whether the address is the broadcast address of one of the node's networks, or of all."""
        if address.version == 6:
            return False
        if address in {_ALL_ONES, IPv4Address(0)}:
            return True
        nets = (each.network for all_of in self.addresses.values() for each in all_of)
        return any(net.version == 4 and net.prefixlen < 31 and net.broadcast_address == address for net in nets)

    def way_to(self, address: Address) -> str | None:
        """Return the interface that leads to an address by the most specific route, or None where there is none."""
        if self.is_local(address):
            return LOOPBACK
        own = (Route(each.network, name) for name, all_of in self.addresses.items() for each in all_of)
        fitting = [route for route in (*own, *self.routes) if address in route.network]
        # Of routes to the same network the first counts: routes are given in the order of their metrics.
        best = max(fitting, key=lambda route: route.network.prefixlen, default=None)
        return best.interface if best else None

    def leads_to(self, address: Address, interface: str) -> bool:
        """Whether any route to an address is by the interface, though another may be better."""
        own = (each.network for each in self.addresses.get(interface, ()))
        rest = (route.network for route in self.routes if route.interface == interface)
        return any(address in network for network in (*own, *rest))

    def can_send(self, source: Address, destination: Address) -> bool:
        """Whether the node can send from one address to another; in IPv4 a loopback address leaves it nowhere.

        That is so unless route_localnet is set (``__mkroute_output``), which is not modelled.
        """
        return source.version == 6 or not source.is_loopback or self.is_local(destination)

    def source_for(self, address: Address, interface: str) -> Address | None:
        """Return what a packet to an address is sent from by an interface, if the node has such an address.

        An interface without one sends from the first of another (``inet_select_addr``, RFC 6724 in IPv6); what an IPv6
        node sends to itself is from that same address.
        """
        if address.version == 6 and interface == LOOPBACK:
            return address
        others = (name for name in self.addresses if name not in {interface, LOOPBACK})
        found = (self.address_of(name, address.version, beyond=True) for name in (interface, *others))
        return next((own for own in found if own is not None and not own.is_loopback), None)

    def address_of(self, interface: str, version: int, *, beyond: bool = False) -> Address | None:
        """Return the interface's first address of a version; ``beyond`` leaves out those only good on its link."""
        for each in self.addresses.get(interface, ()):
            if each.version == version and not (beyond and each.ip.is_link_local):
                return each.ip
        return None


@dataclass(slots=True)
class MatchMemory:
    """What rules have counted and remembered so far, by rule or by the name that rules share.

    ``began`` and ``latest`` are the first time that a packet told, and the last.
    """

    cells: dict[Hashable, object] = field(default_factory=dict)
    began: float | None = None
    latest: float = 0.0

    def elapsed(self, time: float | None) -> float:
        """Return the seconds since the sequence began; a packet that tells no time comes right after the one before."""
        if time is not None:
            self.latest = max(self.latest, time) if self.began is not None else time
            self.began = time if self.began is None else self.began
        return 0.0 if self.began is None else self.latest - self.began

    def cell(self, key: Hashable, fresh: T) -> T:
        """Return what is kept under a key, which is ``fresh`` the first time."""
        found = self.cells.setdefault(key, fresh)
        if not isinstance(found, type(fresh)):
            raise TypeError(f"{key!r} is kept as {type(found).__name__}")
        return found


class ConnectionLookup(Protocol):
    """What address translation asks of the connections that there are already."""

    def taken(self, packet: Packet, left: int) -> bool:
        """Whether another connection has the tuple by which a first packet's answers would be known.

        With so many tries left, this one among them; one of the last ends a TCP connection that is over.
        """

    def mapped(self, packet: Packet) -> Iterator[tuple[Address, int]]:
        """Yield what the source of a first packet was rewritten to in other connections, the newest first."""

    def drawn(self, low: int, count: int, own: int) -> int:
        """Return one of so many numbers from the lowest on, where the kernel draws at random instead of its own."""


@dataclass(frozen=True, slots=True)
class PacketContext:
    """The node, where it is known, its connections, and the memory of the sequence that a packet belongs to."""

    host: Host | None = None
    memory: MatchMemory = field(default_factory=MatchMemory)
    connections: ConnectionLookup | None = None
