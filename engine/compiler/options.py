"""Compiler options: how a node's rules are enforced, independent of the rules themselves.

`CompilerOptions` holds the part of the node's configuration that the compiler needs: families, interfaces, position of
the jumps, target of Allow rules, logging and layout. :func:`engine.desired.full.options_of` builds it.
"""

from dataclasses import dataclass
from enum import StrEnum

from engine.rulesets.model import Family


@dataclass(frozen=True, slots=True)
class LogTarget:
    """Log destination: LOG if ``kernel``, else NFLOG to netlink ``group``; at most ``rate`` after ``burst`` packets."""

    kernel: bool = False
    group: int = 1
    rate: str = "10/second"
    burst: int = 20


class Layout(StrEnum):
    """Layout of rules in chains: linear (one after another), or optimised (a packet meets few rules)."""

    LINEAR = "linear"
    OPTIMISED = "optimised"


@dataclass(frozen=True, slots=True)
class CompilerOptions:
    """Options of one compilation.

    ``interfaces`` are iptables interface names, with a trailing ``+`` as a wildcard; None is every interface. ``allow``
    is the target of Allow rules: ACCEPT, or RETURN, which lets the host's later rules decide.
    """

    enabled: bool = True
    families: tuple[Family, ...] = tuple(Family)
    interfaces: tuple[str, ...] | None = None
    jumps_last: bool = False
    allow: str = "ACCEPT"
    log: LogTarget = LogTarget()
    layout: Layout = Layout.LINEAR


DEFAULT_OPTIONS = CompilerOptions()
