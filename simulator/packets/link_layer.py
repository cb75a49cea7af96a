"""Parser of captured link-layer frames: from a `Frame` to the `Packet` it carries.

Supports Ethernet (with VLAN tags), raw IP, BSD loopback and Linux cooked capture. `packet_of` returns the reason as
text if a frame carries no IP packet. Source: link-type registry of tcpdump.org.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.errors import Refused
from simulator.packets.dissect import from_wire
from simulator.packets.model import Packet


@dataclass(frozen=True, slots=True)
class Frame:
    """Captured frame: link type, bytes, and capture time in seconds since 1970, if the file has one."""

    link: int
    data: bytes
    time: float | None = None


def packet_of(frame: Frame, in_interface: str, out_interface: str) -> Packet | str:
    """Return the IP packet that a frame carries, or the reason why there is none."""
    data = frame.data
    if frame.link not in _LINKS:
        return f"link type {frame.link} is not known"
    kind, start, mac = _LINKS[frame.link](data)
    while kind in _VLAN_TAGS:
        kind, start = int.from_bytes(data[start + 2 : start + 4]), start + 4
    if kind not in _IP_KINDS:
        return "cut inside the link header" if len(data) < start else f"no IP packet, but type {kind:#06x}"
    try:
        return from_wire(data[start:], in_interface=in_interface, out_interface=out_interface, mac=mac, time=frame.time)
    except Refused as refused:
        return refused.faults[0].problem


_VLAN_TAGS = frozenset({0x8100, 0x88A8, 0x9100})
_IP_KINDS = frozenset({0x0800, 0x86DD})

LinkHeader = tuple[int, int, str | None]
"""EtherType of the payload, offset of the payload, and the sender's MAC address."""


def _mac(data: bytes) -> str | None:
    return data.hex(":") if len(data) == 6 else None


def _ethernet(data: bytes) -> LinkHeader:
    return int.from_bytes(data[12:14]), 14, _mac(data[6:12])


def _cooked(data: bytes) -> LinkHeader:
    """Parse a Linux cooked capture, version 1 (LINKTYPE_LINUX_SLL)."""
    size = int.from_bytes(data[4:6])
    return int.from_bytes(data[14:16]), 16, _mac(data[6 : 6 + min(size, 8)])


def _cooked_2(data: bytes) -> LinkHeader:
    """Parse a Linux cooked capture, version 2 (LINKTYPE_LINUX_SLL2)."""
    return int.from_bytes(data[0:2]), 20, _mac(data[12 : 12 + min(data[11], 8)]) if len(data) >= 20 else None


def _raw(data: bytes) -> LinkHeader:
    version = data[0] >> 4 if data else 0
    return {4: 0x0800, 6: 0x86DD}.get(version, version), 0, None


def _loopback(data: bytes) -> LinkHeader:
    """Parse BSD loopback: the address family as a 32-bit word, in the byte order of the capturing host."""
    return _raw(data[4:])[0], 4, None


_LINKS: Mapping[int, Callable[[bytes], LinkHeader]] = {
    0: _loopback,
    1: _ethernet,
    12: _raw,
    14: _raw,
    101: _raw,
    108: _loopback,
    113: _cooked,
    228: _raw,
    229: _raw,
    276: _cooked_2,
}
