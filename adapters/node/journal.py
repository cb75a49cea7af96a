"""Records in the event log what happens on a Node: a proposed apply before it starts, its outcome afterwards.

Input: proposals, results of the reconciler, and errors. Output: ``ApplyProposed``, ``RulesetApplied`` and
``ApplyFailed`` events. An outcome that the log already holds is not recorded again. The agent and ``nodewall apply``
use the journal.

Raises ``LogError`` if the log cannot be written. For the agent, such an error is only logged, because enforcement must
go on.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from engine.errors import LogConflict, LogError
from engine.events import EventBody
from engine.events.outcomes import ApplyFailed, ApplyProposed, RulesetApplied
from engine.reconcile.log_interfaces import LogWriter
from engine.reconcile.reconciler import NodeRuleReconciler, Proposal
from engine.rulesets.digest import RulesetDigests
from engine.state.fold import ClusterState

_LOG = structlog.get_logger(__name__)

_TRIALS = 20
"""Number of attempts to append that a concurrent append by another writer may defeat, before the last one."""


@dataclass(slots=True)
class Journal:
    """Recorder of one node's outcomes; ``state`` is the cluster state that is being applied.

    Without a ``log``, nothing is recorded. If recording is not ``required``, a failure to record is only logged and
    the work continues.
    """

    node: str
    state: ClusterState
    log: LogWriter | None = None
    source: str = "nodewall apply"
    required: bool = True
    told: Callable[[EventBody], None] = lambda _: None
    """Called with every event, even if it could not be recorded."""
    _fingerprints: RulesetDigests = field(default_factory=RulesetDigests, init=False)

    def begun(self, proposal: Proposal) -> None:
        """Record a proposal, before its first step.

        Raises:
            LogError: recording is required and failed.
        """
        if self.log is None:
            return
        self.append(
            ApplyProposed(
                node=self.node,
                wanted=self.state.sequence,
                ruleset=self._fingerprints.of(proposal.wanted),
                operations=len(proposal.plan.changes),
                method=proposal.method.value,
            )
        )

    def applied(self, nodes: NodeRuleReconciler) -> None:
        """Record the applied rules, unless the log holds the same outcome already and no operation was needed."""
        if self.log is None:
            return
        outcome = RulesetApplied(
            node=self.node,
            realized=self.state.sequence,
            ruleset=self._fingerprints.of(nodes.in_force),
            operations=len(nodes.latest.plan.changes),
            failed=nodes.failed or None,
        )
        known = self.state.outcomes.get(self.node)
        same = isinstance(known, RulesetApplied) and (known.ruleset, known.failed) == (outcome.ruleset, outcome.failed)
        if outcome.operations or not same or self.node in self.state.under_way:
            self.append(outcome)

    def failed(self, error: Exception) -> None:
        """Record that the state could not be applied, unless the last outcome in the log is the same failure."""
        outcome = ApplyFailed(node=self.node, wanted=self.state.sequence, words=str(error))
        known = self.state.outcomes.get(self.node)
        if not (isinstance(known, ApplyFailed) and known.words == outcome.words) or self.node in self.state.under_way:
            self.append(outcome)

    def append(self, body: EventBody) -> None:
        """Append an event; try again if another writer appends at the same time.

        A retry is safe, because the event itself names the sequence of the state to which it refers.

        Raises:
            LogError: recording is required and failed.
        """
        self.told(body)
        try:
            if self.log is not None:
                self._append(self.log, body)
        except LogError as error:
            if self.required:
                raise
            _LOG.error("not on record", type=body.type, error=str(error))

    def _append(self, log: LogWriter, body: EventBody) -> None:
        for _ in range(_TRIALS):
            with suppress(LogConflict):
                log.append([body], source=self.source, expected=log.last_sequence())
                return
        log.append([body], source=self.source, expected=log.last_sequence())
