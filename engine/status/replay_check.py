"""Checks that the ruleset digests in recorded outcomes equal those of the same history compiled now.

Input: `ClusterState` values and outcome events of a node. Output: `ReplayCheck` with the recorded and the compiled
digest. Host facts (such as interface names) come from the state at the outcome, because they may be recorded after the
state that was applied. Rules that the kernel refused are left out or keep their previous version, as in the reconciler.
Raises `UnknownNode`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from engine.compiler import compile_rules
from engine.desired.full import DesiredRuleset, desired_ruleset
from engine.events.outcomes import ApplyProposed, RulesetApplied
from engine.objects.config import Configuration
from engine.policy.completed_rules import CompletedRule, Plane
from engine.policy.resolve import sort_rules
from engine.rulesets.digest import ruleset_digest
from engine.state.fold import ClusterState


@dataclass(frozen=True, slots=True)
class ReplayCheck:
    """Recorded and newly compiled digest of the state at sequence ``wanted``."""

    wanted: int
    recorded: str
    compiled: str

    @property
    def same(self) -> bool:
        """Whether both digests are equal."""
        return self.recorded == self.compiled


@dataclass(slots=True)
class ReplayChecker:
    """Checks the outcomes of a node in order; ``configured`` maps a recorded configuration to the effective one."""

    node: str
    configured: Callable[[Configuration], Configuration]
    _held: dict[str, CompletedRule] = field(default_factory=dict)

    def check(self, state: ClusterState, outcome: ApplyProposed | RulesetApplied, now: ClusterState) -> ReplayCheck:
        """Compare one outcome with the compiled ruleset.

        Args:
            state: the state that the outcome applied.
            outcome: the recorded outcome.
            now: the state at the outcome, which has the host facts.

        Raises:
            UnknownNode: the state has no such node.
        """
        hosts = now.hosts if self.node in now.hosts else state.hosts
        wanted = desired_ruleset(replace(state, hosts=hosts, config=self.configured(state.config)), self.node)
        if isinstance(outcome, ApplyProposed):
            return ReplayCheck(outcome.wanted, outcome.ruleset, ruleset_digest(wanted.ruleset))
        return self._applied(wanted, outcome)

    def _applied(self, wanted: DesiredRuleset, outcome: RulesetApplied) -> ReplayCheck:
        rules = {rule.id: rule for rule in wanted.rules if rule.plane is Plane.NODES}
        failed = {f"{each.policy}/{each.rule}" for each in outcome.failed or ()}
        lacking = {key: rule for key, rule in rules.items() if key not in failed}
        kept = {key: rule for key, rule in self._held.items() if key in failed & rules.keys()}
        found = ""
        for tried in ({**lacking, **kept}, lacking) if kept else (lacking,):
            ruleset = compile_rules(sort_rules(tried.values()), wanted.options) if failed else wanted.ruleset
            found = ruleset_digest(ruleset)
            self._held = tried
            if found == outcome.ruleset:
                break
        return ReplayCheck(outcome.realized, outcome.ruleset, found)
