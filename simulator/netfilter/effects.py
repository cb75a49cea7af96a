"""Types for the effect of a target, such as ACCEPT or MARK, with one evaluation for each of the three engines.

:mod:`simulator.netfilter.targets` defines an effect per target; walker, batch engine and symbolic engine evaluate it.
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
    """Change of a numeric field by a target: clear all bits except ``keep``, then set the bits of ``value``.

    A ``value`` of None is not known. ``where`` limits the change to some packets; None means all.
    """

    name: str
    value: int | None
    keep: int = 0
    where: Formula | None = None


@dataclass(frozen=True, slots=True)
class TargetEffect:
    """Effect of a target: the step after it, and how it changes the packet.

    The walker calls ``change`` and records ``assumption``. The batch engine tabulates ``change`` for all values of the
    field ``rewrites``. It can do so if only that field changes and depends only on its old value; otherwise
    ``rewrites`` is empty, and the packets go to the walker. The symbolic engine uses ``writes``, or a text that says
    why no modelled rule sees the change.
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
