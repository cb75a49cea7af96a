"""Records in the event log what happens on a Node: proposals before they are carried out, outcomes afterwards.

Input: proposals, reconciler results and errors. Output: ``ApplyProposed``, ``RulesetApplied`` and ``ApplyFailed``
events. An outcome that the log already holds is not recorded again. Raises ``LogError`` where the log is required and
cannot be written.
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
"""How often an append begins anew because another writer came first."""


@dataclass(slots=True)
class Journal:
    """The record of one node in a log, or none; ``state`` is what is being brought into force.

    Where it is not ``required``, what cannot be put on record is done all the same, and said in the logs.
    """

    node: str
    state: ClusterState
    log: LogWriter | None = None
    source: str = "nodewall apply"
    required: bool = True
    told: Callable[[EventBody], None] = lambda _: None
    """Told of everything that was done, also where it could not be put on record."""
    _fingerprints: RulesetDigests = field(default_factory=RulesetDigests, init=False)

    def begun(self, proposal: Proposal) -> None:
        """Record that a way is about to be taken.

        Raises:
            LogError: it could not be recorded.
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
        """Record what is in force now, unless that is on record and nothing had to be done for it."""
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
        """Record that the state could not be brought into force, unless just that is on record."""
        outcome = ApplyFailed(node=self.node, wanted=self.state.sequence, words=str(error))
        known = self.state.outcomes.get(self.node)
        if not (isinstance(known, ApplyFailed) and known.words == outcome.words) or self.node in self.state.under_way:
            self.append(outcome)

    def append(self, body: EventBody) -> None:
        """Append an event, whatever others append meanwhile: it names the sequence it is about.

        Raises:
            LogError: it could not be appended.
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
