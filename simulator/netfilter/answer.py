"""Result types of the packet simulator: `Verdict`, `Decision`, `TraceStep` and `Evaluation`.

An `Evaluation` has the verdict of a ruleset for one packet at one hook, the rule that decided (`Decision`), the rules
that matched (`TraceStep`), the packet as it leaves the hook, and the assumptions about unmodelled matches.
"""

from dataclasses import dataclass
from enum import StrEnum

from engine.rulesets.model import Hook
from engine.rulesets.ownership import owner_of
from simulator.packets import ConnState, Packet

LOGGERS = frozenset({"LOG", "NFLOG"})
"""Targets that log a packet, which then continues with the next rule."""


class Verdict(StrEnum):
    """Final action of netfilter on a packet; ``reject`` is a drop that also answers the sender."""

    ACCEPT = "accept"
    DROP = "drop"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Decision:
    """Deciding rule: ``rule`` counts from 1 within its chain; 0 is the chain's policy."""

    table: str
    chain: str
    rule: int
    comment: str = ""

    @property
    def policy(self) -> str | None:
        """Network policy that the rule was compiled from."""
        owner = owner_of(self.comment)
        return owner[0] if owner else None

    @property
    def policy_rule(self) -> str | None:
        """Rule of the policy that the kernel rule was compiled from."""
        owner = owner_of(self.comment)
        return owner[1] if owner else None


@dataclass(frozen=True, slots=True)
class TraceStep:
    """Rule that the packet matched.

    ``depth`` counts the chains entered so far; ``target`` may be empty. If ``matched`` is false, the rule's matches
    dropped the packet, because it ends inside the bytes that they read.
    """

    table: str
    chain: str
    rule: int
    target: str
    depth: int = 0
    comment: str = ""
    matched: bool = True


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Result of a ruleset for ``packet`` at ``hook``.

    Attributes:
        left: The packet as it leaves the hook, with the mark and connection state that rules set.
        decided_by: For an accepted packet the decision of the filter table, as other tables do not filter. None if the
            hook has no chain.
        trace: Rules that the packet matched.
        assumptions: Assumptions about unmodelled matches and targets.
    """

    packet: Packet
    hook: Hook
    verdict: Verdict
    left: Packet
    reject_with: str | None = None
    decided_by: Decision | None = None
    trace: tuple[TraceStep, ...] = ()
    assumptions: tuple[str, ...] = ()

    @property
    def became(self) -> dict[str, str]:
        """Changed fields of the packet, by name: the text of each field that differs from the arriving packet."""
        if self.left == self.packet:
            return {}
        before = self.packet.as_spec()
        return {key: word for key, word in self.left.as_spec().items() if before.get(key) != word}

    @property
    def logged_by(self) -> tuple[tuple[str, str], ...]:
        """Policies and rules that log the packet, within their rate limits."""
        owners = (owner_of(step.comment) for step in self.trace if step.matched and step.target in LOGGERS)
        return tuple(owner for owner in owners if owner)

    @property
    def tracked(self) -> bool:
        """Whether connection tracking assigned the packet to a connection."""
        return self.left.state not in {ConnState.UNTRACKED, ConnState.INVALID}
