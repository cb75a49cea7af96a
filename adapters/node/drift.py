"""Enforces the desired rules in one kernel for the agent, and repairs drift that other programs cause.

Input: a ``DesiredRuleset``. Output: applied rules, and outcomes, which the :class:`Journal` records in the event log.
If another program keeps undoing the repairs (30 repairs within 10 seconds), repairs pause for up to 5 seconds.

Raises ``NodewallError`` if an apply or a repair fails.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from adapters.netfilter.cached import CachedKernel
from adapters.node.journal import Journal
from engine.desired.full import DesiredRuleset
from engine.events.outcomes import DriftRepaired
from engine.reconcile.reconciler import NodeRuleReconciler
from engine.rulesets.diff import diff
from engine.rulesets.model import Ruleset
from engine.rulesets.text.operations import op_of

_LOG = structlog.get_logger(__name__)

_SHOWN = 20
"""Most operations of a repair that its event records."""

_WINDOW, _FIGHT = 10.0, 30
"""Length of the window in seconds, and the number of repairs in it from which repairs pause.

Repairs at this rate mean that another program undoes each of them.
"""

_PAUSES = (0.5, 1.0, 2.0, 5.0)
"""Seconds of consecutive pauses between repairs; the last value repeats."""


@dataclass(slots=True)
class RulesetEnforcer:
    """Applies the desired rules and repairs drift; ``now`` is a monotonic clock in seconds."""

    kernel: CachedKernel
    nodes: NodeRuleReconciler
    journal: Journal
    now: Callable[[], float]
    _repairs: list[float] = field(default_factory=list, init=False)
    _pause: int = field(default=0, init=False)
    _not_optimised: str = field(default="", init=False)
    _enforced: Ruleset = field(default_factory=Ruleset, init=False)
    """Rules and sets that the last successful apply or repair verified; a refused plan does not change them."""
    held_until: float = field(default=0.0, init=False)
    """Time until which no repair is made, by the clock ``now``."""

    def enforce(self, wanted: DesiredRuleset) -> None:
        """Apply the desired rules, except those that the kernel refuses.

        Raises:
            NodewallError: the apply failed; the previous rules stay in the kernel.
        """
        self.nodes.replace_rules(wanted)
        self._enforced = self.nodes.latest.wanted
        self.kernel.expect(self._enforced)
        self.journal.applied(self.nodes)
        if self.nodes.not_optimised != self._not_optimised:
            self._not_optimised = self.nodes.not_optimised
            _LOG.warning("layout", linear=bool(self._not_optimised), why=self._not_optimised)
        for each in self.nodes.failed:
            _LOG.error("rule not in force", policy=each.policy, rule=each.rule, words=each.words)

    def failed(self, error: Exception) -> None:
        """Log and record a failed apply or repair."""
        _LOG.error("not in force", error=str(error))
        self.journal.failed(error)

    def repair(self) -> bool:
        """Undo changes by other programs to nodewall's rules and sets; return True if there were any.

        Raises:
            NodewallError: the repair failed.
        """
        if self.now() < self.held_until:
            return False
        changes = diff(self.kernel.observe(), self._enforced)
        if not changes:
            return False
        self.nodes.batch_reconcile(())
        self._enforced = self.nodes.latest.wanted
        pause = self._held_back()
        found = tuple(str(op_of(change)) for change in changes[:_SHOWN])
        self.journal.append(DriftRepaired(node=self.journal.node, found=found, operations=len(changes), pause=pause))
        tell = _LOG.info if pause is None else _LOG.warning
        tell("drift repaired", found=list(found), operations=len(changes), pause=pause)
        return True

    def _held_back(self) -> float | None:
        """Count a repair; return the seconds for which repairs now pause, None if they do not."""
        now = self.now()
        self._repairs = [time for time in self._repairs if time > now - _WINDOW] + [now]
        if len(self._repairs) < _FIGHT:
            self._pause = 0 if len(self._repairs) == 1 else self._pause
            return None
        pause = _PAUSES[min(self._pause, len(_PAUSES) - 1)]
        self._pause += 1
        self.held_until = now + pause
        return pause
