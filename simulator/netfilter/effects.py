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
    """How the walk goes on after a rule has matched."""

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
    """Where a target acts: the hook, the node around it, the callback for assumptions, and the ruleset's sets."""

    hook: Hook
    around: PacketContext
    assume: Callable[[str], None]
    sets: SetRegistry


PacketRewrite = Callable[[Packet, TargetContext], Packet]
"""From a packet to the packet that a target makes of it."""


@dataclass(frozen=True, slots=True)
class FieldWrite:
    """Change of a field of all packets: a number, of whose bits ``value`` is set after all but ``keep`` were cleared.

    A ``value`` of None is one that cannot be known. ``where`` says of which packets, all if it is None.
    """

    name: str
    value: int | None
    keep: int = 0
    where: Formula | None = None


@dataclass(frozen=True, slots=True)
class TargetEffect:
    """How the walk goes on after a target, and how the target changes the packet.

    The walker calls ``change``, and notes ``assumption``. The batch engine tabulates it for the values of the field
    ``rewrites``, which alone changes and depends on its old value alone; where that is empty, it walks the packets.
    (It may leave out the changes of packets that know no connection and no zone.) The symbolic engine takes ``writes``,
    or a text that says why no rule that it models sees the change.
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
"""Writes of a destination that the kernel chooses."""


def destination(addresses: tuple[int, int] | None, ports: tuple[int, int] | None) -> tuple[FieldWrite, ...]:
    """Return the writes of a destination from ranges; of several values the kernel chooses one."""
    found = []
    if addresses is not None:
        found.append(FieldWrite("dst", addresses[0] if addresses[0] == addresses[1] else None))
    if ports is not None:
        found.append(FieldWrite("dport", ports[0] if ports[0] == ports[1] else None, where=PORTED))
    return tuple(found)
