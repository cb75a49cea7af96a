"""Definition of a target's effect, once for all three engines of the simulator.

A `TargetEffect` says how evaluation continues after a rule matched, and how the target changes the packet. The walker
(one packet) calls a function. The batch engine (many packets) tabulates the change of one field. The symbolic engine
(all packets at once) reads the changes as `FieldWrite` values.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from engine.rulesets.model import Hook
from simulator.context import PacketContext
from simulator.matches.formula import STATES, Formula, whole
from simulator.netfilter.answer import Verdict
from simulator.packets import ConnState, Packet, protocol_names
from simulator.sets import SetRegistry


class TargetAction(Enum):
    """Step after a rule has matched, such as a verdict or the next rule."""

    ACCEPT = auto()
    DROP = auto()
    REJECT = auto()
    RETURN = auto()
    NEXT = auto()
    JUMP = auto()
    GOTO = auto()


VERDICTS: Mapping[TargetAction, Verdict] = {
    TargetAction.ACCEPT: Verdict.ACCEPT,
    TargetAction.DROP: Verdict.DROP,
    TargetAction.REJECT: Verdict.REJECT,
}


@dataclass(frozen=True, slots=True)
class TargetContext:
    """Surroundings of a target: the hook, the node, the callback for assumptions, and the sets."""

    hook: Hook
    around: PacketContext
    assume: Callable[[str], None]
    sets: SetRegistry


PacketRewrite = Callable[[Packet, TargetContext], Packet]
"""Function from a packet to the packet that a target makes of it."""


@dataclass(frozen=True, slots=True)
class FieldWrite:
    """Change of a numeric field by a target: clear all bits except ``keep``, then flip the bits of ``value``.

    A ``value`` of None is not known. ``where`` limits the change to some packets; None means all.
    """

    name: str
    value: int | None
    keep: int = 0
    where: Formula | None = None


@dataclass(frozen=True, slots=True)
class TargetEffect:
    """Effect of a target: the next step, and how it changes the packet.

    Attributes:
        act: Next step of the evaluation.
        change: Rewrites one packet, for the walker.
        assumption: Assumption that the walker records; empty if there is none.
        reject_with: Reply type of a REJECT.
        rewrites: The only field that ``change`` rewrites, if the new value depends on the old one alone. The batch
            engine then tabulates ``change`` for all values of that field. If empty, the packets go to the walker.
            ``change`` may do more for packets with a known connection or zone, which always go to the walker.
        writes: Rewrites for the symbolic engine, or a text that says why no modelled rule sees the change.
    """

    act: TargetAction
    change: PacketRewrite | None = None
    assumption: str = ""
    reject_with: str | None = None
    rewrites: str = ""
    writes: tuple[FieldWrite, ...] | str = ()


NEXT = TargetEffect(TargetAction.NEXT)

UNTRACKED = FieldWrite("state", STATES.index(ConnState.UNTRACKED))
PORTED = whole(*sorted(protocol_names.PORT_PROTOCOLS))
ANY_DESTINATION = (FieldWrite("dst", None), FieldWrite("dport", None, where=PORTED))
"""Writes for a destination that the kernel chooses."""


def destination(addresses: tuple[int, int] | None, ports: tuple[int, int] | None) -> tuple[FieldWrite, ...]:
    """Return the writes for a destination from ranges; the kernel chooses among several values."""
    found = []
    if addresses is not None:
        found.append(FieldWrite("dst", addresses[0] if addresses[0] == addresses[1] else None))
    if ports is not None:
        found.append(FieldWrite("dport", ports[0] if ports[0] == ports[1] else None, where=PORTED))
    return tuple(found)
