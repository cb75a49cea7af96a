"""Packet model: the header fields and metadata that netfilter matches on, as frozen dataclasses.

`Packet.as_spec` converts a `Packet` to the ``key=value`` words that `simulator.packets.spec` parses. ``None`` in a
field means "not given"; a match that needs the field is then undecided.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from engine.errors import printable
from engine.ip_types import Address
from engine.rulesets.model import Family
from simulator.packets import protocol_names

TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
"""TCP flag names, from the lowest bit of the header's flag byte to the highest."""

DEFAULT_TTL = 64


class ConnState(StrEnum):
    """Connection state, named as in ``--ctstate`` of iptables-extensions(8)."""

    NEW = "NEW"
    ESTABLISHED = "ESTABLISHED"
    RELATED = "RELATED"
    INVALID = "INVALID"
    UNTRACKED = "UNTRACKED"


ConnectionTuple = tuple[int, Address, Address, int, int]
"""Protocol, source, destination, and two numbers: ports, or the ICMP identifier and ICMP type with code."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Connection tracking data of a packet's connection that rules can match (``struct nf_conn``).

    Attributes:
        original: Tuple of the direction that opened the connection.
        reply: Tuple that a reply packet has.
        replying: Whether the packet belongs to the reply direction.
        status: Words of ``--ctstatus``, such as ``ASSURED``.
        rewritten: Address translations that changed the connection: ``SNAT``, ``DNAT``.
        mark: Connection mark (``connmark``).
    """

    original: ConnectionTuple
    reply: ConnectionTuple
    replying: bool = False
    status: frozenset[str] = frozenset()
    rewritten: frozenset[str] = frozenset()
    mark: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One packet at one hook.

    Attributes:
        protocol: Number after all IPv6 extension headers.
        igmp: Type of an IGMP message.
        length: Bytes of the whole IP packet.
        ttl: Hop limit in IPv6.
        fragment: Whether it is a fragment other than the first. Such a fragment has no ports.
        inner: Packet that an ICMP error quotes.
        tos: Whole type-of-service byte; the traffic class in IPv6.
        uid: User of the local program that sends the packet; ``gid`` is its group.
        zone: Connection tracking zone.
        time: Seconds since 1970, UTC.
        wire: Bytes of the packet, if they are known.
    """

    src: Address
    dst: Address
    protocol: int
    sport: int | None = None
    dport: int | None = None
    flags: frozenset[str] = frozenset()
    icmp: tuple[int, int] | None = None
    icmp_id: int | None = None
    igmp: int | None = None
    in_interface: str = ""
    out_interface: str = ""
    state: ConnState = ConnState.NEW
    mark: int = 0
    length: int | None = None
    ttl: int = DEFAULT_TTL
    mac: str | None = None
    fragment: bool = False
    inner: "Packet | None" = None
    tos: int = 0
    uid: int | None = None
    gid: int | None = None
    zone: int = 0
    time: float | None = None
    connection: Connection | None = None
    wire: bytes | None = field(default=None, compare=False, repr=False)

    @property
    def family(self) -> Family:
        """Address family of the packet."""
        return Family.IPV4 if self.src.version == 4 else Family.IPV6

    @property
    def words(self) -> str:
        """The packet as SPEC words on one printable line."""
        return printable(" ".join(f"{key}={value}" for key, value in self.as_spec().items()))

    def as_spec(self) -> dict[str, str]:
        """Return the words that `parse_spec` turns back into this packet; ``inner`` has no word."""
        words = {
            "in": self.in_interface,
            "out": self.out_interface,
            "src": str(self.src),
            "dst": str(self.dst),
            "proto": protocol_names.protocol_name(self.protocol, self.family),
            "sport": _text(self.sport),
            "dport": _text(self.dport),
            "flags": _flags(self),
            "icmp": "/".join(map(str, self.icmp or ())),
            "icmp-id": _text(self.icmp_id),
            "igmp": "" if self.igmp is None else f"{self.igmp:#x}",
            "state": self.state.lower(),
            "mark": f"{self.mark:#x}" if self.mark else "",
            "len": _text(self.length),
            "ttl": "" if self.ttl == DEFAULT_TTL else str(self.ttl),
            "tos": f"{self.tos:#04x}" if self.tos else "",
            "mac": self.mac or "",
            "uid": _text(self.uid),
            "gid": _text(self.gid),
            "fragment": "yes" if self.fragment else "",
        }
        return {key: word for key, word in words.items() if word}


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


def _flags(packet: Packet) -> str:
    """Always write the flags of a TCP packet: without the word, `parse_spec` derives them from the state."""
    if packet.protocol != protocol_names.TCP or packet.fragment:
        return ""
    return ",".join(flag for flag in TCP_FLAGS if flag in packet.flags) or "NONE"


@dataclass(frozen=True, slots=True)
class Skipped:
    """Frame of a capture that holds no usable packet: its number (from 1) and the reason."""

    number: int
    reason: str
