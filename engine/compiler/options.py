"""How rules are enforced, whatever they say: what the configuration of a node leaves to the compiler."""

from dataclasses import dataclass
from enum import StrEnum

from engine.rulesets.model import Family


@dataclass(frozen=True, slots=True)
class LogTarget:
    """Where logged rules log: NFLOG to a netlink ``group``, or LOG; at most ``rate``, after ``burst`` packets."""

    kernel: bool = False
    group: int = 1
    rate: str = "10/second"
    burst: int = 20


class Layout(StrEnum):
    """How rules are laid out in chains: one after the other, or such that packets come by few."""

    LINEAR = "linear"
    OPTIMISED = "optimised"


@dataclass(frozen=True, slots=True)
class CompilerOptions:
    """What is managed and how.

    ``interfaces`` are names as iptables takes them, a trailing ``+`` for any rest; None is every interface. ``allow``
    is the target of rules that allow: ACCEPT, or RETURN, which leaves the last word to the host's later rules.
    """

    enabled: bool = True
    families: tuple[Family, ...] = tuple(Family)
    interfaces: tuple[str, ...] | None = None
    jumps_last: bool = False
    allow: str = "ACCEPT"
    log: LogTarget = LogTarget()
    layout: Layout = Layout.LINEAR


DEFAULT_OPTIONS = CompilerOptions()
