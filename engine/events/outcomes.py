"""Outcome events: what nodewall did on a node (applies, confirmations, repairs) and to the log (compaction).

An apply that changes something is recorded as proposed before its first step, and as applied or failed after its last.
A timed apply is then confirmed, or fails when it is rolled back. A proposal without a later outcome was interrupted.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from engine.events.base import BaseEventBody


class NodeOutcome(BaseEventBody):
    """An outcome on ``node``."""

    node: str


class ApplyProposed(NodeOutcome):
    """An apply of the state at sequence ``wanted`` is about to start, with ``operations`` operations by ``method``.

    ``ruleset`` is the SHA-256 of the compiled ruleset's text.
    """

    type: Literal["apply.proposed"] = "apply.proposed"
    wanted: int
    ruleset: str
    operations: int
    method: Literal["in-place", "switch"]


class FailedRule(BaseModel):
    """A policy rule that the kernel refused, with the message of the tool."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    policy: str
    rule: str
    words: str


class RulesetApplied(NodeOutcome):
    """The state at sequence ``realized`` was applied and verified; ``ruleset`` is the SHA-256 of its text.

    ``failed`` are rules that the kernel refused. They are not enforced and not part of that text; None if there are
    none.
    """

    type: Literal["ruleset.applied"] = "ruleset.applied"
    realized: int
    ruleset: str
    operations: int
    failed: tuple[FailedRule, ...] | None = None


class ApplyFailed(NodeOutcome):
    """The state at sequence ``wanted`` could not be applied, or was rolled back; ``words`` is the reason."""

    type: Literal["apply.failed"] = "apply.failed"
    wanted: int
    words: str


class ApplyConfirmed(NodeOutcome):
    """The timed apply of the state at sequence ``realized`` was confirmed."""

    type: Literal["apply.confirmed"] = "apply.confirmed"
    realized: int


class DriftRepaired(NodeOutcome):
    """Another program had changed nodewall's rules or sets, and nodewall restored them.

    ``found`` holds the first repair operations, ``operations`` their number. If ``pause`` is set, the rules were
    changed repeatedly, and further repairs wait that many seconds.
    """

    type: Literal["drift.repaired"] = "drift.repaired"
    found: tuple[str, ...]
    operations: int
    pause: float | None = None


class LogCompacted(BaseEventBody):
    """The log was compacted: a snapshot of the state replaces the ``events`` events up to sequence ``until``.

    ``last`` is the hash of the last replaced event and ``time`` its time. ``state`` is the SHA-256 of the snapshot's
    lines, ``after`` the hash of the event before this one. If signed, ``key`` names the key and ``signature`` is the
    Ed25519 signature of the other fields in base 64. Older records have neither ``time`` nor ``after``.
    """

    type: Literal["log.compacted"] = "log.compacted"
    until: int
    last: str
    state: str
    events: int
    time: str | None = None
    after: str | None = None
    key: str | None = None
    signature: str | None = None


OutcomeEvent = ApplyProposed | RulesetApplied | ApplyFailed | ApplyConfirmed | DriftRepaired | LogCompacted
"""Union of all outcome bodies."""
