"""Injects raw IP packets into a node in a network namespace, and observes the verdicts of the kernel's rules.

Input: complete IP packets, and the hook INPUT or OUTPUT. The caller loads the rules into the node before. Output: a
:class:`DeliveryOutcome` (accepted, rejected or dropped) per packet. Raises ``ValueError`` for fragments, and for
packets that cannot be told apart.

- INPUT: another namespace (the peer) sends the packet to the node. The packet is accepted if a raw socket in the node
  receives it, because raw sockets receive packets only after this hook. It is rejected if the peer receives an RST or
  an ICMP error for it; otherwise it is dropped.
- OUTPUT: a raw socket in the node sends the packet. The packet is accepted if it is seen at the peer or on ``lo``. It
  is rejected if an RST or an ICMP error for it is seen on ``lo``; otherwise it is dropped.

Some rejections look like drops, because REJECT does not answer an RST, an ICMP error or a packet with a wrong checksum.
The OUTPUT chain can also drop the answer of REJECT.
"""

import os
import select
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from socket import (
    AF_INET,
    AF_INET6,
    AF_NETLINK,
    AF_PACKET,
    IP_ADD_MEMBERSHIP,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_RAW,
    IPPROTO_UDP,
    SO_BINDTODEVICE,
    SO_RCVBUF,
    SOCK_RAW,
    SOL_SOCKET,
    inet_pton,
    socket,
)
from types import TracebackType
from typing import Self

from adapters.lab.netns import QUIET, Namespaces, configure
from adapters.system.netns_sockets import DeliveryOutcome, opened
from adapters.system.process import namespace_path
from engine.rulesets.model import Hook

WINDOW = 64
"""Packets that are sent before their outcomes are read; few enough for the socket buffers of an ordinary user."""

MARKER = 0x88B5  # EtherType that IEEE 802 reserves for local experiments
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 0x0003, 0x0800, 0x86DD
NODE_MAC, GATEWAY_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
SO_RCVBUFFORCE, SOL_PACKET, PACKET_IGNORE_OUTGOING, IPV6_RECVPKTINFO = 33, 263, 23, 49  # not in the socket module
NETLINK_NETFILTER = 12

ETH0 = "eth0"

SETTINGS: Mapping[str, str] = {
    **QUIET,
    "netfilter/nf_conntrack_tcp_be_liberal": "1",  # injected segments have no valid sequence numbers
    "ipv4/conf/all/accept_local": "1",
    "ipv4/conf/all/accept_redirects": "0",
    "ipv6/conf/all/accept_redirects": "0",
}


@dataclass(frozen=True, slots=True)
class PacketKey:
    """Parts of an IP packet that distinguish it from others."""

    src: bytes
    dst: bytes
    protocol: int
    payload: bytes

    @property
    def identity(self) -> bytes:
        """Addresses, protocol and the 8 bytes that ICMP errors quote: ports and sequence, or ICMP type and id."""
        return self.src + self.dst + bytes([self.protocol]) + self.payload[:8]

    @property
    def refused(self) -> bytes | None:
        """Identity of the packet that this packet rejects, None if it is no rejection.

        After an RST, the identity lacks the sequence number.
        """
        if self.protocol == 6 and self.payload[13] & 0x04:
            ports = self.payload[2:4] + self.payload[:2]
            return self.dst + self.src + bytes([6]) + ports
        if (self.protocol, self.payload[0]) in {(1, 3), (58, 1)}:  # destination unreachable
            quoted = self.payload[8:]
            return parsed(quoted).identity if quoted else None
        return None


def parsed(packet: bytes) -> PacketKey:
    """Return the parts of an IP packet; a packet quoted by ICMP may be truncated.

    Raises:
        ValueError: the packet is a fragment, or not an IP packet.
    """
    if packet[0] >> 4 == 4:
        if int.from_bytes(packet[6:8]) & 0x3FFF:
            raise ValueError("fragments cannot be injected")
        return PacketKey(
            packet[12:16], packet[16:20], packet[9], packet[(packet[0] & 0xF) * 4 : int.from_bytes(packet[2:4])]
        )
    if packet[0] >> 4 != 6:
        raise ValueError(f"IP version {packet[0] >> 4}; expected 4 or 6")
    protocol, start = packet[6], 40
    while protocol in {0, 43, 60}:  # hop-by-hop options, routing, destination options
        protocol, start = packet[start], start + 8 * (packet[start + 1] + 1)
    if protocol == 44:
        raise ValueError("fragments cannot be injected")
    return PacketKey(packet[8:24], packet[24:40], protocol, packet[start : 40 + int.from_bytes(packet[4:6])])


class InjectionRig:
    """Node in a scratch network that exists while the context is entered; load the rules into `netns`."""

    def __init__(self, addresses: Sequence[str], interfaces: Sequence[str] = (ETH0,)) -> None:
        """Create a node with these interfaces, and with these addresses on the first.

        Packets to other unicast addresses cannot be judged at INPUT.
        """
        self.addresses = tuple(addresses)
        self.interfaces = tuple(interfaces)
        self._packed = {ip_address(address).packed for address in addresses}
        self._namespaces = Namespaces(("node", "peer"))
        self._sockets = ExitStack()
        self._ears: dict[tuple[int, int], socket] = {}
        self._joined: set[bytes] = set()
        self._marks = 0

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.enter_context(self._namespaces)
            undo.enter_context(self._sockets)
            self._build()
            self._wires = {name: self._tap("peer", name, ETH_P_ALL) for name in self.interfaces}
            self._doors = {name: self._tap("node", name, MARKER) for name in self.interfaces}
            self._loop = self._tap("node", "lo", ETH_P_ALL)
            self._out = {(v, name): self._outward(v, name) for v in (4, 6) for name in ("", *self.interfaces)}
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    @property
    def netns(self) -> str:
        """Name of the node's network namespace."""
        return self._namespaces["node"]

    def judge(self, hook: Hook, packets: Sequence[bytes], interface: str = "") -> list[DeliveryOutcome]:
        """Inject IP packets, and return the outcome of each at INPUT or OUTPUT, in order.

        Args:
            hook: INPUT or OUTPUT.
            packets: complete IP packets with correct checksums.
            interface: the interface at which they arrive or leave. By default the first for INPUT; for OUTPUT, routing
                chooses it.

        Raises:
            ValueError: two packets cannot be distinguished, one is a fragment, or one at INPUT is not for the node.
            OSError: the kernel refused to send a packet for another reason than its rules, such as a missing route.
        """
        wires = [parsed(packet) for packet in packets]
        self._check(hook, wires)
        for each in wires:
            self._listen(4 if len(each.src) == 4 else 6, each.protocol)
        outcomes: list[DeliveryOutcome] = []
        with _one_cpu():
            for start in range(0, len(packets), WINDOW):
                part = slice(start, start + WINDOW)
                outcomes += self._window(hook, packets[part], wires[part], interface)
        return outcomes

    def forget(self) -> None:
        """Delete all tracked connections of the node, so that the same packets are new again (ctnetlink delete)."""
        with opened(namespace_path(self.netns), AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER) as netlink:
            # nlmsghdr: length, type (subsystem 1, delete 2), flags (request, acknowledge), sequence, port; nfgenmsg
            netlink.send(struct.pack("=IHHIIBBH", 20, 0x0102, 0x5, 1, 0, 0, 0, 0))
            error = struct.unpack_from("=i", _received(netlink), 16)[0]
        if error:
            raise OSError(-error, os.strerror(-error))

    def _window(
        self, hook: Hook, packets: Sequence[bytes], wires: Sequence[PacketKey], interface: str
    ) -> list[DeliveryOutcome]:
        here = interface or self.interfaces[0]
        for packet, wire in zip(packets, wires, strict=True):
            if hook is Hook.INPUT:
                self._wires[here].send(_frame(packet))
            else:
                with suppress(PermissionError):  # dropped or rejected
                    self._out[packet[0] >> 4, interface].sendto(packet, (str(ip_address(wire.dst)), 0))
        outside, loop = self._settle(here)
        heard = self._heard()
        accepted = heard if hook is Hook.INPUT else {each.identity for each in outside + loop}
        refused = {each.refused for each in outside + loop}
        return [_outcome(wire, accepted, refused) for wire in wires]

    def _settle(self, interface: str) -> tuple[list[PacketKey], list[PacketKey]]:
        """Send a marker after the packets, and one back after their answers; return the packets at the peer and ``lo``.

        One CPU processes all of them in order, so packets sent before the marker are complete when it arrives.
        """
        self._marks += 1
        mark = struct.pack("!6s6sHQ", NODE_MAC, GATEWAY_MAC, MARKER, self._marks)
        self._wires[interface].send(mark)
        _until(self._doors[interface], mark)
        # The destination is the zero MAC address of lo; with another one, the stack would treat it as for another host.
        lo_mark = bytes(6) + mark[6:]
        self._loop.send(lo_mark)
        loop = _until(self._loop, lo_mark)
        self._doors[interface].send(mark)
        return _until(self._wires[interface], mark), loop

    def _heard(self) -> set[bytes]:
        """Return the identities of the packets that raw sockets in the node have seen."""
        heard = set()
        for (version, protocol), ear in self._ears.items():
            with suppress(BlockingIOError):  # no more packets
                while True:
                    data, ancillary, _flags, sender = ear.recvmsg(0xFFFF, 64)
                    if version == 4:
                        heard.add(parsed(data).identity)
                    else:
                        source = inet_pton(AF_INET6, sender[0].partition("%")[0])
                        heard.add(PacketKey(source, ancillary[0][2][:16], protocol, data).identity)
        return heard

    def _check(self, hook: Hook, wires: Sequence[PacketKey]) -> None:
        """Check that packets can be distinguished and, for INPUT, are for the node; join their multicast groups."""
        seen: set[bytes] = set()
        for index, wire in enumerate(wires):
            identity = wire.identity[:-4] if wire.protocol == 6 else wire.identity  # an RST quotes only the ports
            if identity in seen:
                raise ValueError(f"packet {index} cannot be told from one before: same addresses, ports or payload")
            if hook is Hook.INPUT and ip_address(wire.dst).is_multicast:
                self._join(wire.dst)
            elif hook is Hook.INPUT and wire.dst not in self._packed:
                raise ValueError(f"packet {index} is for {ip_address(wire.dst)}; the node has {self.addresses}")
            seen.add(identity)

    def _join(self, group: bytes) -> None:
        """Make the node join an IPv4 multicast group; it joins the link-local groups of IPv6 by default."""
        if len(group) == 4 and group not in self._joined:
            ear = self._open(AF_INET, IPPROTO_UDP)
            own = next(packed for packed in sorted(self._packed) if len(packed) == 4)
            ear.setsockopt(IPPROTO_IP, IP_ADD_MEMBERSHIP, group + own)
            self._joined.add(group)

    def _outward(self, version: int, interface: str) -> socket:
        """Open a raw socket in the node that sends by an interface; an empty name leaves the choice to routing."""
        out = self._open(AF_INET if version == 4 else AF_INET6, IPPROTO_RAW)
        if interface:
            out.setsockopt(SOL_SOCKET, SO_BINDTODEVICE, interface.encode())
        return out

    def _listen(self, version: int, protocol: int) -> None:
        """Open a raw socket in the node that receives a protocol, unless it is open already."""
        if (version, protocol) not in self._ears:
            ear = self._open(AF_INET if version == 4 else AF_INET6, protocol)
            if version == 6:
                ear.setsockopt(IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
            self._ears[version, protocol] = ear

    def _open(self, family: int, protocol: int, name: str = "node") -> socket:
        made = self._sockets.enter_context(opened(namespace_path(self._namespaces[name]), family, SOCK_RAW, protocol))
        try:
            made.setsockopt(SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        except PermissionError:  # in a user namespace, the limit for ordinary users applies
            made.setsockopt(SOL_SOCKET, SO_RCVBUF, 1 << 24)
        return made

    def _tap(self, name: str, interface: str, ether_type: int) -> socket:
        """Open a packet socket that sees the incoming frames of an interface."""
        tap = self._open(AF_PACKET, 0, name)
        tap.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        tap.bind((interface, ether_type))
        return tap

    def _build(self) -> None:
        configure(self._namespaces["node"], SETTINGS)
        configure(self._namespaces["peer"], {"ipv6/conf/default/disable_ipv6": "1"})
        first = self.interfaces[0]
        self._namespaces.batch(
            [
                "link set lo up",
                *(line for name in self.interfaces for line in _cable(name, self._namespaces["peer"])),
                *(f"addr add {address} dev {first}{' nodad' * (':' in address)}" for address in self.addresses),
            ],
            "node",
        )
        self._namespaces.batch([f"link set {name} up" for name in self.interfaces], "peer")
        # A route via a gateway needs a carrier, which exists only after the peer's end is up.
        ways = enumerate(self.interfaces, 1)
        self._namespaces.batch([line for metric, name in ways for line in _routes(name, metric)], "node")


def _cable(name: str, peer: str) -> Iterator[str]:
    """Yield ip commands that create an interface and the peer's end of it.

    A permanent neighbour entry for the gateway permits any source and destination address.
    """
    yield f"link add {name} address {NODE_MAC.hex(':')} type veth peer name {name} netns {peer}"
    yield f"link set {name} addrgenmode none"
    yield f"link set {name} up"
    yield f"neigh add 169.254.0.1 lladdr {GATEWAY_MAC.hex(':')} nud permanent dev {name}"
    yield f"neigh add fe80::1 lladdr {GATEWAY_MAC.hex(':')} nud permanent dev {name}"


def _routes(name: str, metric: int) -> Iterator[str]:
    yield f"route add 0.0.0.0/0 via 169.254.0.1 dev {name} onlink metric {metric}"
    yield f"route add ::/0 via fe80::1 dev {name} onlink metric {metric}"


def _outcome(wire: PacketKey, accepted: set[bytes], refused: set[bytes | None]) -> DeliveryOutcome:
    if wire.identity in accepted:
        return DeliveryOutcome.ACCEPT
    by_reset = wire.identity[:-4] if wire.protocol == 6 else None
    if wire.identity in refused or (by_reset and by_reset in refused):
        return DeliveryOutcome.REJECT
    return DeliveryOutcome.DROP


def _frame(packet: bytes) -> bytes:
    dst = parsed(packet).dst
    if packet[0] >> 4 == 4:
        to = bytes.fromhex("01005e") + bytes((dst[1] & 0x7F, *dst[2:])) if ip_address(dst).is_multicast else NODE_MAC
        return to + GATEWAY_MAC + ETH_P_IP.to_bytes(2) + packet
    to = bytes.fromhex("3333") + dst[12:] if ip_address(dst).is_multicast else NODE_MAC
    return to + GATEWAY_MAC + ETH_P_IPV6.to_bytes(2) + packet


def _until(tap: socket, mark: bytes) -> list[PacketKey]:
    """Return the IP packets that a tap saw before the marker."""
    found = []
    while (frame := _received(tap)) != mark:
        if int.from_bytes(frame[12:14]) in {ETH_P_IP, ETH_P_IPV6}:
            with suppress(ValueError):  # this module injects no fragments
                found.append(parsed(frame[14:]))
    return found


def _received(source: socket) -> bytes:
    if not select.select([source], [], [], 5)[0]:
        raise TimeoutError("the marker behind the packets did not arrive within 5 s")
    return source.recv(0xFFFF)


@contextmanager
def _one_cpu() -> Iterator[None]:
    """Stay on one CPU in the block, because the kernel keeps the order of packets only within the queue of one CPU."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
