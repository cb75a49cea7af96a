"""Look-up keys of packets: the values by which an ipset looks a packet up, such as address and port.

Input: a `Packet`, a `StaticSet`, and the source or destination side for each part of a member. Output: a `LookupKey`,
or a `MissingValue` if the packet lacks a value or its value is unknown.

Source: the kernel's ``ip_set_getport`` and the ``kadt`` function of each set type.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from engine.rulesets.model import Family
from simulator.context import LOOPBACK, UNKNOWN_INTERFACE
from simulator.packets import Packet, layout, protocol_names
from simulator.sets.elements import mac_number
from simulator.sets.set_types import SetDimension, SetType
from simulator.sets.static import MemberKey, StaticSet, masked_value


class MissingValue(Enum):
    """Reason why a dimension has no value: ABSENT (no set can hold the packet) or UNKNOWN (field not given)."""

    ABSENT = auto()
    UNKNOWN = auto()


LookupValue = int | str | MissingValue
LookupSides = tuple[bool, ...]
"""Side looked up in each dimension: True is the source, False the destination."""


@dataclass(frozen=True, slots=True)
class LookupKey:
    """Key of a packet at full prefix length, plus the interface or MAC address to compare."""

    key: MemberKey
    tail: str = ""


def lookup_key_of(packet: Packet, saved: StaticSet, sides: LookupSides) -> LookupKey | MissingValue:
    """Return the key by which a set looks a packet up."""
    kind = saved.kind
    read = [_dimension_value(packet, part, kind, source=side) for part, side in zip(kind.parts, sides, strict=False)]
    if MissingValue.ABSENT in read:
        return MissingValue.ABSENT
    if MissingValue.UNKNOWN in read:
        return MissingValue.UNKNOWN
    numbers = [each for each in read if isinstance(each, int)]
    key = tuple(masked_value(value, part, saved.traits) for value, part in zip(numbers, kind.parts, strict=False))
    if _is_null(key, saved) or _outside(key, saved):
        return MissingValue.ABSENT
    return LookupKey(key, next((each for each in read if isinstance(each, str)), ""))


def _dimension_value(packet: Packet, part: SetDimension, kind: SetType, *, source: bool) -> LookupValue:
    if part in {SetDimension.IP, SetDimension.NET}:
        return int(packet.src if source else packet.dst)
    if part is SetDimension.PORT and kind.bitmap:
        found = _port(packet, source=source)
        if isinstance(found, MissingValue):
            return found
        return found & 0xFFFF if found >> 16 in {protocol_names.TCP, protocol_names.UDP} else MissingValue.ABSENT
    if part is SetDimension.MAC and kind.bitmap:
        return _mac(packet, source=source)
    return _READERS[part](packet, source)


def _is_null(key: MemberKey, saved: StaticSet) -> bool:
    """Return whether all stored bits are zero, which some set types do not treat as an address."""
    return key[0] == 0 and (
        (
            saved.kind.parts[0] is SetDimension.IP
            and not saved.kind.bitmap
            and saved.kind.parts[1:] in {(), (SetDimension.PORT,)}
        )
        or (saved.kind.parts == (SetDimension.NET, SetDimension.NET) and saved.family is Family.IPV6)
    )


def _outside(key: MemberKey, saved: StaticSet) -> bool:
    bounds = saved.traits.bounds
    return bounds is not None and not bounds[0] <= key[0] <= bounds[1]


_HEADER: Mapping[int, int] = {
    protocol_names.TCP: 20,
    protocol_names.UDP: 8,
    protocol_names.UDPLITE: 8,
    protocol_names.SCTP: 12,
    protocol_names.ICMP: 8,
    protocol_names.ICMPV6: 8,
}
"""Transport header bytes that the kernel needs to read the port; other protocols have no port."""


def _port(packet: Packet, *, source: bool) -> int | MissingValue:
    """Return protocol and port as one number; ICMP uses type and code as port, protocols without ports use zero."""
    protocol = packet.protocol
    none = (
        {protocol_names.PROTOCOLS["hopopt"]}
        if packet.family is Family.IPV4
        else {protocol_names.PROTOCOLS["ipv6-nonxt"]}
    )
    if packet.fragment or protocol in none or _cut(packet):
        return MissingValue.ABSENT
    if protocol not in _HEADER:
        return protocol << 16
    if protocol in protocol_names.ICMP_OF.values():
        return _icmp(packet)
    port = packet.sport if source else packet.dport
    return MissingValue.UNKNOWN if port is None else protocol << 16 | port


def _icmp(packet: Packet) -> int | MissingValue:
    """Return type and code by protocol number: the kernel reads ICMP of the other family too."""
    if packet.icmp is not None:
        return packet.protocol << 16 | packet.icmp[0] << 8 | packet.icmp[1]
    payload = layout(packet.wire).payload(2) if packet.wire is not None else None
    return MissingValue.UNKNOWN if payload is None else packet.protocol << 16 | int.from_bytes(payload)


def _cut(packet: Packet) -> bool:
    """Return whether the packet itself ends inside its transport header, not only its captured bytes."""
    size = _HEADER.get(packet.protocol, 0)
    if not size or packet.wire is None or len(packet.wire) < (packet.length or 0):
        return False
    return layout(packet.wire).payload(size) is None


def _mac(packet: Packet, *, source: bool) -> str | MissingValue:
    """Return the source MAC address; loopback packets have a zero one, which no set holds."""
    if packet.in_interface == LOOPBACK:
        return MissingValue.ABSENT
    if packet.mac is None or not source:
        return MissingValue.UNKNOWN
    return packet.mac.lower() if mac_number(packet.mac) else MissingValue.ABSENT


def _mac_value(packet: Packet, source: bool) -> LookupValue:  # noqa: FBT001 - the table's signature
    found = _mac(packet, source=source)
    return mac_number(found) if isinstance(found, str) else found


def _interface(packet: Packet, source: bool) -> LookupValue:  # noqa: FBT001 - the table's signature
    name = packet.in_interface if source else packet.out_interface
    return MissingValue.UNKNOWN if name == UNKNOWN_INTERFACE else name or MissingValue.ABSENT


_READERS: Mapping[SetDimension, Callable[[Packet, bool], LookupValue]] = {
    SetDimension.PORT: lambda packet, source: _port(packet, source=source),
    SetDimension.MAC: _mac_value,
    SetDimension.MARK: lambda packet, _source: packet.mark,
    SetDimension.IFACE: _interface,
}
