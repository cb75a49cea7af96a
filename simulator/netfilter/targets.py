"""What each target does to a packet and to the walk (iptables-extensions(8), TARGET EXTENSIONS)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from engine.ruleset import Family, Match, Target
from simulator.matches.fields import MARK_BITS, mark_and_mask
from simulator.packets import ConnState, Packet, names


class Act(Enum):
    """How the walk goes on after a rule has matched."""

    ACCEPT = auto()
    DROP = auto()
    REJECT = auto()
    RETURN = auto()
    NEXT = auto()
    JUMP = auto()
    GOTO = auto()


@dataclass(frozen=True, slots=True)
class Effect:
    """A target's effect: how the walk goes on, how the packet changes, and what is assumed."""

    act: Act
    change: Callable[[Packet], Packet] | None = None
    assumption: str = ""
    reject_with: str | None = None


_NEXT = Effect(Act.NEXT)

_REJECT_WITH: Mapping[Family, str] = {
    Family.IPV4: "icmp-port-unreachable",
    Family.IPV6: "icmp6-port-unreachable",
}

LOGGERS = frozenset({"LOG", "NFLOG"})
"""Targets that tell about a packet and let it go on."""

_HARMLESS = frozenset({"AUDIT", "CHECKSUM", "CLASSIFY", "LOG", "NFLOG", "TCPMSS", "TCPOPTSTRIP", "TRACE", "ULOG"})
"""They change nothing that a modelled match can see."""

_UNMODELLED = frozenset(
    {
        *("CLUSTERIP", "CONNMARK", "CONNSECMARK", "DNPT", "DSCP", "ECN", "HL", "HMARK", "IDLETIMER", "LED"),
        *(
            "MIRROR",
            "RATEEST",
            "SAME",
            "SECMARK",
            "SET",
            "SNPT",
            "SYNPROXY",
            "TARPIT",
            "TEE",
            "TOS",
            "TPROXY",
        ),
        *("TTL", "FLOWOFFLOAD", "DELUDE", "CHAOS", "ACCOUNT", "ECHO", "IPMARK", "LOGMARK", "SYSRQ"),
    }
)
"""Known targets without a model; another name that no chain bears is a missing chain."""

_REWRITES = frozenset({"DNAT", "MASQUERADE", "NETMAP", "REDIRECT", "SNAT"})


def effect_of(target: Target | None, family: Family) -> Effect | None:
    """Return what a target other than a chain does, or None where no such target is known."""
    if target is None:
        return _NEXT
    if target.name in _TARGETS:
        return _TARGETS[target.name](target, family)
    return _unmodelled(target, family) if target.name in _UNMODELLED or target.options else None


def _reject(target: Target, family: Family) -> Effect:
    given = (option.values[0] for option in target.options if option.option == "reject-with" and option.values)
    return Effect(Act.REJECT, reject_with=next(given, _REJECT_WITH[family]))


def _mark(target: Target, family: Family) -> Effect:
    """Every form is the kernel's one: clear the mask, then exclusive-or the value."""
    try:
        (option,) = target.options
        mask, value = _MARKS[option.option](option)
    except (KeyError, ValueError, IndexError):
        return _unmodelled(target, family)
    return Effect(Act.NEXT, lambda packet: replace(packet, mark=packet.mark & (MARK_BITS ^ mask) ^ value))


def _value(option: Match) -> int:
    return names.number(option.values[0], MARK_BITS)


def _set_mark(option: Match) -> tuple[int, int]:
    value, mask = mark_and_mask(option.values[0])
    return value | mask, value


def _set_xmark(option: Match) -> tuple[int, int]:
    value, mask = mark_and_mask(option.values[0])
    return mask, value


_MARKS: Mapping[str, Callable[[Match], tuple[int, int]]] = {
    "set-mark": _set_mark,
    "set-xmark": _set_xmark,
    "and-mark": lambda option: (MARK_BITS ^ _value(option), 0),
    "or-mark": lambda option: (_value(option), _value(option)),
    "xor-mark": lambda option: (0, _value(option)),
}
"""Per option of MARK: the bits to clear and the bits to flip."""

_NOTRACK = Effect(Act.NEXT, lambda packet: replace(packet, state=ConnState.UNTRACKED))


def _ct(target: Target, family: Family) -> Effect:
    untracked = any(option.option == "notrack" for option in target.options)
    return _NOTRACK if untracked else _unmodelled(target, family)


def _queue(target: Target, _family: Family) -> Effect:
    return Effect(Act.ACCEPT, assumption=f"{target.name}: the program behind the queue is assumed to accept")


def _rewrite(target: Target, _family: Family) -> Effect:
    return Effect(Act.ACCEPT, assumption=f"{target.name} is not modelled; the packet is assumed to stay as it is")


def _unmodelled(target: Target, _family: Family) -> Effect:
    return Effect(Act.NEXT, assumption=f"target {target.name} is not modelled; assumed to go on with the next rule")


def _always(effect: Effect) -> Callable[[Target, Family], Effect]:
    return lambda _target, _family: effect


_TARGETS: Mapping[str, Callable[[Target, Family], Effect]] = {
    "ACCEPT": _always(Effect(Act.ACCEPT)),
    "DROP": _always(Effect(Act.DROP)),
    "RETURN": _always(Effect(Act.RETURN)),
    "REJECT": _reject,
    "MARK": _mark,
    "NOTRACK": _always(_NOTRACK),
    "CT": _ct,
    "QUEUE": _queue,
    "NFQUEUE": _queue,
    **dict.fromkeys(_REWRITES, _rewrite),
    **dict.fromkeys(_HARMLESS, _always(_NEXT)),
}
