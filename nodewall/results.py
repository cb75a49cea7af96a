"""Value types of the Python API: results, such as the verdict on a packet, and invariants (required verdicts).

All values are immutable. Packets are text, as ``nodewall simulate --packet`` accepts it, so a caller can pass them back
to the API. ``count`` is a number of distinct packet headers.

Raises :class:`engine.errors.Refused` for an invalid name, such as an unknown hook.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeVar

from engine.errors import Fault, Refused, safe_text
from engine.rulesets.model import Family, Hook
from simulator.analysis.compare import verdict_text
from simulator.analysis.invariants import InvariantKind
from simulator.netfilter import Decision, TraceStep, Verdict

HookName = Literal["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]
VerdictName = Literal["accept", "drop", "reject"]
ModeName = Literal["may", "must"]
KindName = Literal["accept", "block"]

_Choice = TypeVar("_Choice", bound=StrEnum)


def one_of(kind: type[_Choice], value: str, parameter: str) -> _Choice:
    """Return the member of an enumeration that has the value of a parameter.

    Raises:
        Refused: The enumeration has no such member; the error names ``parameter``.
    """
    try:
        return kind(value)
    except ValueError:
        expected = f"one of {', '.join(kind)}"
        raise Refused((Fault(parameter, f"found {safe_text(value)}", expected),)) from None


@dataclass(frozen=True, slots=True)
class PacketAnswer:
    """Verdict on one packet, with the deciding rule and the path to it.

    Attributes:
        packet: The packet as ``key=value`` words, including values that were filled in.
        hook: Hook at which the packet was judged.
        verdict: ``accept``, ``drop`` or ``reject``; compares equal to its text.
        reject_with: Answer that a rejection sends, such as ``tcp-reset``.
        decided_by: Deciding rule; None if the hook has no chain.
        trace: Rules that the packet matched, in order.
        assumptions: Facts beyond the packet and the rules on which the verdict depends; empty if it is certain.
    """

    packet: str
    hook: Hook
    verdict: Verdict
    reject_with: str | None
    decided_by: Decision | None
    trace: tuple[TraceStep, ...]
    assumptions: tuple[str, ...]

    @property
    def policy(self) -> str | None:
        """Policy of the deciding rule, ``(static)`` for nodewall's own rules, None if no policy decides."""
        return self.decided_by.policy if self.decided_by else None

    @property
    def policy_rule(self) -> str | None:
        """Name of the deciding rule within its policy."""
        return self.decided_by.policy_rule if self.decided_by else None

    @property
    def summary(self) -> str:
        """The answer on one line, such as ``drop (policy P, rule R) at INPUT: in=eth0 src=…``."""
        return f"{verdict_text(self.verdict, self.decided_by)} at {self.hook}: {self.packet}"


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """Result of a search for packets with a verdict.

    Attributes:
        count: Number of packet headers; 0 proves that there are none.
        example: One of the packets as ``key=value`` words; None if there are none.
        decided_by: Deciding rule of the example.
        assumptions: Facts beyond the packet and the rules on which the example's verdict depends.
    """

    count: int
    example: str | None
    decided_by: Decision | None
    assumptions: tuple[str, ...]

    @property
    def found(self) -> bool:
        """True if there is at least one such packet."""
        return self.count > 0


@dataclass(frozen=True, slots=True)
class VerdictDifference:
    """Packets of one hook and family to which two rulesets give different verdicts.

    Attributes:
        hook: Hook at which the packets are judged.
        family: Address family of the packets.
        old: Verdict of the old rules.
        new: Verdict of the new rules.
        count: Number of packet headers.
        example: One of the packets as ``key=value`` words.
        old_decided_by: Deciding rule of the old rules.
        new_decided_by: Deciding rule of the new rules.
        summary: The difference as a sentence.
        assumptions: Facts beyond the packet and the rules on which the example's verdicts depend.
    """

    hook: Hook
    family: Family
    old: Verdict
    new: Verdict
    count: int
    example: str
    old_decided_by: Decision | None
    new_decided_by: Decision | None
    summary: str
    assumptions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Invariant:
    """Requirement on all packets that an expression selects at a hook.

    Attributes:
        name: Name for the results.
        hook: Hook at which the packets are judged.
        where: Expression in pcap-filter syntax that selects packets; an empty one selects every packet.
        must: ``accept`` (every packet must be accepted) or ``block`` (no packet may be accepted).
    """

    name: str
    hook: Hook | HookName
    where: str
    must: InvariantKind | KindName


@dataclass(frozen=True, slots=True)
class Proof:
    """Result for one invariant in one address family.

    Attributes:
        name: Name of the invariant.
        family: Address family.
        hook: Hook of the invariant.
        must: Required verdict: ``accept`` or ``block``.
        holds: True if the invariant is proved for every packet.
        count: Number of packet headers that break it.
        counterexample: Packet that breaks it, as ``key=value`` words; None if none is known.
        verdict: Verdict on the counterexample.
        decided_by: Deciding rule of the counterexample.
        assumptions: Facts beyond the packet and the rules on which the counterexample's verdict depends.
        unproved: Reason why there is neither a proof nor a counterexample, else empty.
    """

    name: str
    family: Family
    hook: Hook
    must: InvariantKind
    holds: bool
    count: int
    counterexample: str | None
    verdict: Verdict | None
    decided_by: Decision | None
    assumptions: tuple[str, ...]
    unproved: str
