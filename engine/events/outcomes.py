"""What nodewall did, as bodies of events: the journal of applies on a node, repairs between them, and the log's own.

An apply that changes anything is proposed before the first step is taken, and applied or failed after the last; one
that has to be confirmed is confirmed, or fails as it is taken back. A proposal that nothing follows was cut off.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from engine.events.base import BaseEventBody


class NodeOutcome(BaseEventBody):
    """Something was done on ``node``."""

    node: str


class ApplyProposed(NodeOutcome):
    """The state at sequence ``wanted`` is about to be put in force, by so many operations and this ``method``.

    ``ruleset`` is the SHA-256 of what its rules compile to.
    """

    type: Literal["apply.proposed"] = "apply.proposed"
    wanted: int
    ruleset: str
    operations: int
    method: Literal["in-place", "switch"]


class FailedRule(BaseModel):
    """A rule of a policy that the kernel refused, with the kernel's words."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    policy: str
    rule: str
    words: str


class RulesetApplied(NodeOutcome):
    """The state at sequence ``realized`` is in force; ``ruleset`` is the SHA-256 of its text.

    Rules that the kernel refused are not in force, nor part of that text; absent where there are none.
    """

    type: Literal["ruleset.applied"] = "ruleset.applied"
    realized: int
    ruleset: str
    operations: int
    failed: tuple[FailedRule, ...] | None = None


class ApplyFailed(NodeOutcome):
    """The state at sequence ``wanted`` could not be put in force, or was taken back; ``words`` say why."""

    type: Literal["apply.failed"] = "apply.failed"
    wanted: int
    words: str


class ApplyConfirmed(NodeOutcome):
    """The state at sequence ``realized`` stays in force, which awaited confirmation."""

    type: Literal["apply.confirmed"] = "apply.confirmed"
    realized: int


class DriftRepaired(NodeOutcome):
    """What is nodewall's had been changed by others, and is as it was again.

    ``found`` are the first operations that it took, ``operations`` is their number; ``contested`` says that others
    change it again and again, and that repairs are held back for so many ``pause`` seconds.
    """

    type: Literal["drift.repaired"] = "drift.repaired"
    found: tuple[str, ...]
    operations: int
    pause: float | None = None


class LogCompacted(BaseEventBody):
    """The log was compacted: a state stands for the events up to sequence ``until``, so many of which it had.

    ``last`` is the hash of the last of them, ``time`` its time and ``state`` the SHA-256 of the state's lines.
    ``after`` is the hash of the event before this one. Where it is signed ``key`` names the key, and ``signature`` is
    Ed25519's of all the rest in base 64. Older records have neither ``time`` nor ``after``.
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
"""What was done."""
