"""What became of a packet: the verdict, who gave it, the path to it and what had to be assumed."""

from dataclasses import dataclass
from enum import StrEnum

from engine.rulesets.model import Hook
from engine.rulesets.ownership import owner_of
from simulator.packets import ConnState, Packet

LOGGERS = frozenset({"LOG", "NFLOG"})
"""Targets that tell about a packet and let it go on."""


class Verdict(StrEnum):
    """What netfilter does with a packet; ``reject`` is a drop that answers the sender."""

    ACCEPT = "accept"
    DROP = "drop"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Decision:
    """The rule that decided: ``rule`` counts from 1 within its chain, 0 is the chain's own policy."""

    table: str
    chain: str
    rule: int
    comment: str = ""

    @property
    def policy(self) -> str | None:
        """The network policy the rule was compiled from."""
        owner = owner_of(self.comment)
        return owner[0] if owner else None

    @property
    def policy_rule(self) -> str | None:
        """The policy's rule it was compiled from."""
        owner = owner_of(self.comment)
        return owner[1] if owner else None


@dataclass(frozen=True, slots=True)
class TraceStep:
    """A rule the packet matched; ``depth`` counts the chains entered to get there, ``target`` may be empty.

    One that is not ``matched`` dropped the packet, which ends inside what the rule's matches read.
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
    """What a ruleset does to ``packet`` at ``hook``.

    ``decided_by`` is the filter table's decider when the packet is accepted there, as other tables are not for
    filtering; None where the hook has no chain at all. ``left`` is the packet as it leaves the hook: with the mark and
    connection state that rules gave it.
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
        """The words that are other ones of the packet as it left than of the packet as it came."""
        if self.left == self.packet:
            return {}
        before = self.packet.as_spec()
        return {key: word for key, word in self.left.as_spec().items() if before.get(key) != word}

    @property
    def logged_by(self) -> tuple[tuple[str, str], ...]:
        """The policies and their rules that log the packet, as far as their rate limits let them."""
        owners = (owner_of(step.comment) for step in self.trace if step.matched and step.target in LOGGERS)
        return tuple(owner for owner in owners if owner)

    @property
    def tracked(self) -> bool:
        """Whether the packet left the hook as part of a connection."""
        return self.left.state not in {ConnState.UNTRACKED, ConnState.INVALID}
