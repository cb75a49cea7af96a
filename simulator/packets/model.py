"""The packet: what netfilter can see of one, as a frozen value."""

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from engine.errors import plain
from engine.rulesets.model import Family
from simulator.packets import protocol_names

Address = IPv4Address | IPv6Address

TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
"""From the lowest bit of the header's flag byte to the highest."""

DEFAULT_TTL = 64


class ConnState(StrEnum):
    """A connection state, under the name that ``--ctstate`` of iptables-extensions(8) has for it."""

    NEW = "NEW"
    ESTABLISHED = "ESTABLISHED"
    RELATED = "RELATED"
    INVALID = "INVALID"
    UNTRACKED = "UNTRACKED"


ConnectionTuple = tuple[int, Address, Address, int, int]
"""Protocol, source, destination, and two numbers by protocol: ports, or ICMP type and code with the identifier."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What connection tracking tells the rules of a packet's connection (``struct nf_conn``).

    ``status`` holds words of ``--ctstatus``; ``rewritten`` is of ``SNAT`` and ``DNAT``.
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

    ``protocol`` is the number after all IPv6 extension headers; ``igmp`` is the type of an IGMP message; ``length``
    counts the whole IP packet in bytes; ``ttl`` is the hop limit in IPv6; ``inner`` is what an ICMP error quotes.
    ``None`` means not given: a match that needs the field cannot be decided. ``fragment`` is one other than the first,
    which has no ports. ``tos`` is the whole byte, the traffic class in IPv6; ``uid`` and ``gid`` are of the program
    that sends it; ``time`` is in seconds since 1970, UTC; ``wire`` is the packet's bytes, where they are known.
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
        """The family of its addresses."""
        return Family.IPV4 if self.src.version == 4 else Family.IPV6

    @property
    def words(self) -> str:
        """The packet as SPEC words on one line that can be printed."""
        return plain(" ".join(f"{key}={value}" for key, value in self.as_spec().items()))

    def as_spec(self) -> dict[str, str]:
        """Return the words that `parse_spec` reads it from; ``inner`` has none."""
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
    """A TCP packet always says its flags: without the word, `parse_spec` fills them in by the state."""
    if packet.protocol != protocol_names.TCP or packet.fragment:
        return ""
    return ",".join(flag for flag in TCP_FLAGS if flag in packet.flags) or "NONE"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A frame of a capture that holds no packet to judge: its number (from 1) and why."""

    number: int
    reason: str
