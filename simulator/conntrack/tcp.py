"""TCP state machine of connection tracking: computes a connection's next state from the flags of a packet.

Input: a state name, a `Packet` and its direction. Output: the next state. Sequence numbers and windows are not
modelled. Packets of other protocols do not change the state.

State table, valid flag combinations and timeouts come from the kernel's nf_conntrack_proto_tcp.c.
"""

from collections.abc import Mapping

from simulator.packets import Packet, protocol_names

_VALID_FLAGS = frozenset(
    frozenset(flags.split())
    for flags in ("SYN", "SYN URG", "SYN ACK", "RST", "RST ACK", "FIN ACK", "FIN ACK URG", "ACK", "ACK URG")
)
"""Valid combinations of TCP flags; PSH, ECE and CWR are always valid (``tcp_valid_flags``)."""

_CHECKED_FLAGS = frozenset({"FIN", "SYN", "RST", "ACK", "URG"})

# Next state by direction, flag and current state; "IV" is invalid, "IG" means the packet passes without a transition.
_STATES = ("NO", "SS", "SR", "ES", "FW", "CW", "LA", "TW", "CL", "S2")
_TABLES: Mapping[tuple[bool, str], Mapping[str, str]] = {
    (reply, flag): dict(zip(_STATES, row.split(), strict=True))
    for reply, flag, row in (
        (False, "SYN", "SS SS IG IG IG IG IG SS SS S2"),
        (False, "SYNACK", "IV IV SR IV IV IV IV IV IV SR"),
        (False, "FIN", "IV IV FW FW LA LA LA TW CL IV"),
        (False, "ACK", "ES IV ES ES CW CW TW TW CL IV"),
        (False, "RST", "IV CL CL CL CL CL CL CL CL CL"),
        (True, "SYN", "IV S2 IV IV IV IV IV SS IV S2"),
        (True, "SYNACK", "IV SR IG IG IG IG IG IG IG SR"),
        (True, "FIN", "IV IV FW FW LA LA LA TW CL IV"),
        (True, "ACK", "IV IG SR ES CW CW TW TW CL IG"),
        (True, "RST", "IV CL CL CL CL CL CL CL CL CL"),
    )
}

TIMEOUTS: Mapping[str, int] = {
    "NO": 120,
    "SS": 120,
    "SR": 60,
    "ES": 432_000,
    "FW": 120,
    "CW": 60,
    "LA": 30,
    "TW": 120,
    "CL": 10,
    "S2": 120,
}
"""Seconds that an idle connection is kept, by state: the kernel's defaults (nf_conntrack-sysctl)."""


def has_valid_flags(packet: Packet) -> bool:
    """Return whether the packet's flags can occur together; true for protocols other than TCP."""
    return packet.protocol != protocol_names.TCP or packet.flags & _CHECKED_FLAGS in _VALID_FLAGS


def next_state(state: str, packet: Packet, *, reply: bool) -> str:
    """Return the next state after a packet; for protocols other than TCP, the current state."""
    return _TABLES[reply, flag_of(packet)][state] if packet.protocol == protocol_names.TCP else state


def flag_of(packet: Packet) -> str:
    """Return the flag that selects the row of the state table (``get_conntrack_index``)."""
    if "SYN" in packet.flags and "RST" not in packet.flags:
        return "SYNACK" if "ACK" in packet.flags else "SYN"
    return next(flag for flag in ("RST", "FIN", "ACK") if flag in packet.flags)
