"""Parser of packet SPEC words: ``in=eth0 src=10.0.0.1 dst=10.0.0.2 proto=tcp dport=22 state=new``.

`parse_spec` returns a `Packet` or raises `Refused` with every fault of the words at once. Omitted words take the value
of a connection's first packet (``state=new``, ``flags=SYN``, ``ttl=64``). Addresses, protocol and ports have no
default.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from typing import TypeVar

from engine.errors import Fault, Refused, safe_text
from engine.ip_types import Address
from engine.rulesets.model import Family
from simulator.packets import protocol_names
from simulator.packets.model import DEFAULT_TTL, TCP_FLAGS, ConnState, Packet

T = TypeVar("T")
D = TypeVar("D")

_PORT = "a port from 0 to 65535"
_PROTOCOL = "a protocol by name, such as tcp, or number from 0 to 255"
_FLAGS = f"NONE or names of {', '.join(TCP_FLAGS)} with commas between"
_INTERFACE = "an interface name of 1 to 15 characters"
_NOWHERE = IPv4Address(0)  # placeholder for a missing address, so that the other words are still checked


def parse_spec(spec: str | Iterable[str], number: int = 1) -> Packet:
    """Parse one packet from ``key=value`` words; faults name the packet by ``number`` (from 1).

    Raises:
        Refused: The words have faults; the error lists all of them.
    """
    words = _Words.split(spec, f"packet {number}")
    src, dst = words.need("src", _address, "an IP address"), words.need("dst", _address, "an IP address")
    family = _family(words, src, dst)
    protocol = _protocol(words, family)
    state = words.take("state", _state, ConnState.NEW, "one of " + ", ".join(map(str.lower, ConnState)))
    fragment = words.take("fragment", _yes_or_no, default=False, expected="yes or no")
    packet = Packet(
        src=src or _NOWHERE,
        dst=dst or _NOWHERE,
        protocol=protocol or 0,
        sport=words.take("sport", _up_to(0xFFFF), None, _PORT),
        dport=words.take("dport", _up_to(0xFFFF), None, _PORT),
        flags=words.take("flags", _flags, _default_flags(protocol, state, fragment=fragment), _FLAGS),
        icmp=words.take("icmp", lambda text: _icmp(text, family), None, _icmp_help(family)),
        icmp_id=words.take("icmp-id", _up_to(0xFFFF), None, "a number from 0 to 65535"),
        igmp=words.take("igmp", _up_to(0xFF), None, "a type from 0 to 255, such as 0x11"),
        in_interface=words.take("in", _interface, "", _INTERFACE),
        out_interface=words.take("out", _interface, "", _INTERFACE),
        state=state,
        mark=words.take("mark", _up_to(0xFFFFFFFF), 0, "a number from 0 to 0xffffffff"),
        length=words.take("len", _up_to(0xFFFF), None, "bytes from 0 to 65535"),
        ttl=words.take("ttl", _up_to(0xFF), DEFAULT_TTL, "a number from 0 to 255"),
        mac=words.take("mac", _mac, None, "six bytes in hexadecimal with colons between"),
        fragment=fragment,
        tos=words.take("tos", _up_to(0xFF), 0, "a number from 0 to 0xff"),
        uid=words.take("uid", _up_to(0xFFFFFFFE), None, "a number from 0 to 4294967294"),
        gid=words.take("gid", _up_to(0xFFFFFFFE), None, "a number from 0 to 4294967294"),
    )
    words.fit(family, protocol, fragment=fragment)
    if words.faults:
        raise Refused(tuple(words.faults))
    return packet


def _default_flags(protocol: int | None, state: ConnState, *, fragment: bool) -> frozenset[str]:
    """Return SYN for the first packet of a TCP connection and ACK for every later one."""
    if protocol != protocol_names.TCP or fragment:
        return frozenset()
    return frozenset({"SYN" if state is ConnState.NEW else "ACK"})


@dataclass(slots=True)
class _Words:
    """Words of a SPEC by key, and the faults found so far."""

    where: str
    values: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    @classmethod
    def split(cls, spec: str | Iterable[str], where: str) -> "_Words":
        words = cls(where)
        for word in spec.split() if isinstance(spec, str) else spec:
            words.add(*word.partition("="))
        return words

    def add(self, key: str, equals: str, value: str) -> None:
        if not equals:
            self.faults.append(Fault(self.where, f"found {safe_text(key)}", "words of the form key=value"))
        elif key not in _KEYS:
            self.faults.append(Fault(self.where, f"found key {safe_text(key)}", f"one of {', '.join(_KEYS)}"))
        elif key in self.values:
            self.fault(key, "given twice", "one value")
        else:
            self.values[key] = value

    def fault(self, key: str, problem: str, expected: str) -> None:
        self.faults.append(Fault(f"{self.where}: {key}", problem, expected))

    def take(self, key: str, read: Callable[[str], T], default: D, expected: str) -> T | D:
        if key not in self.values:
            return default
        try:
            return read(self.values[key])
        except ValueError:
            self.fault(key, f"found {safe_text(self.values[key])}", expected)
            return default

    def need(self, key: str, read: Callable[[str], T], expected: str) -> T | None:
        if key in self.values:
            return self.take(key, read, None, expected)
        self.fault(key, "missing", expected)
        return None

    def fit(self, family: Family | None, protocol: int | None, *, fragment: bool) -> None:
        """Add a fault for each word about a header that the packet does not have."""
        icmp = family is None or protocol == protocol_names.ICMP_OF[family]
        owners = (
            (
                ("sport", "dport"),
                protocol in protocol_names.PORT_PROTOCOLS,
                "only with proto=tcp, udp, sctp, dccp, udplite",
            ),
            (("flags",), protocol == protocol_names.TCP, "only with proto=tcp"),
            (("igmp",), protocol == protocol_names.IGMP, "only with proto=igmp"),
            (("icmp", "icmp-id"), icmp, "only with proto=icmp in IPv4, proto=icmpv6 in IPv6"),
        )
        faulty = {fault.path for fault in self.faults}
        for keys, present, expected in owners:
            for key in keys:
                if key not in self.values or f"{self.where}: {key}" in faulty:
                    continue
                if fragment:
                    self.fault(key, "found with fragment=yes", "none: only the first fragment has this header")
                elif protocol is not None and not present:
                    self.fault(key, f"found {safe_text(self.values[key])}", expected)


def _address(text: str) -> Address:
    if "%" in text:  # ipaddress accepts a zone identifier, which a packet does not carry
        raise ValueError(text)
    return ip_address(text)


def _family(words: _Words, src: Address | None, dst: Address | None) -> Family | None:
    given = [address for address in (src, dst) if address is not None]
    if len({address.version for address in given}) > 1:
        words.fault("dst", f"found {safe_text(str(dst))}", f"the family of src, IPv{given[0].version}")
    return (Family.IPV4 if given[0].version == 4 else Family.IPV6) if given else None


def _protocol(words: _Words, family: Family | None) -> int | None:
    """Derive the protocol from an ICMP or IGMP type; a port implies none, as five protocols have ports."""
    if "proto" in words.values:
        return words.take("proto", lambda text: _one_protocol(text, family), None, _protocol_help(family))
    if "icmp" in words.values or "icmp-id" in words.values:
        return protocol_names.ICMP_OF[family or Family.IPV4]
    if "igmp" in words.values:
        return protocol_names.IGMP
    words.fault("proto", "missing", _PROTOCOL)
    return None


def _one_protocol(text: str, family: Family | None) -> int:
    number = protocol_names.protocol_number(text)
    foreign = family is not None and number in set(protocol_names.ICMP_OF.values()) - {protocol_names.ICMP_OF[family]}
    if text.lower() == "all" or (foreign and not text.isdigit()):
        raise ValueError(text)
    return number


def _protocol_help(family: Family | None) -> str:
    if family is None:
        return _PROTOCOL
    return f"{_PROTOCOL} (ICMP in {family} is {protocol_names.protocol_name(protocol_names.ICMP_OF[family], family)})"


def _icmp(text: str, family: Family | None) -> tuple[int, int]:
    kind, code, _ = protocol_names.icmp_range(text, family or Family.IPV4)
    return kind, code


def _icmp_help(family: Family | None) -> str:
    return f"a type of {family or 'ICMP'}: TYPE/CODE or a name, such as echo-request"


def _state(text: str) -> ConnState:
    return ConnState(text.upper())


def _flags(text: str) -> frozenset[str]:
    flags = frozenset() if text.upper() == "NONE" else frozenset(text.upper().split(","))
    if not flags <= set(TCP_FLAGS):
        raise ValueError(text)
    return flags


def _up_to(highest: int) -> Callable[[str], int]:
    return lambda text: protocol_names.number(text, highest)


def _mac(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", text.lower()):
        raise ValueError(text)
    return text.lower()


def _interface(text: str) -> str:
    """Check an interface name as ``dev_valid_name`` of the kernel does."""
    if not 0 < len(text) < 16 or text in {".", ".."} or re.search(r"[/:\s\0]", text):
        raise ValueError(text)
    return text


def _yes_or_no(text: str) -> bool:
    if text.lower() not in {"yes", "no"}:
        raise ValueError(text)
    return text.lower() == "yes"


_KEYS = (
    *("in", "out", "src", "dst", "proto", "sport", "dport", "flags", "icmp", "icmp-id", "igmp"),
    *("state", "mark", "len", "ttl", "mac", "fragment", "tos", "uid", "gid"),
)
