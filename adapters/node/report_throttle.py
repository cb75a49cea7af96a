"""Tells of a node whenever what it would report is another, but not more often than makes sense.

Addresses come and go all the time, and for some milliseconds each is not in force yet. That is no news of a policy of
which the same version is in force, unless it lasts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from engine.desired.incremental import Derivation
from engine.events import EventBody
from engine.events.outcomes import ApplyFailed
from engine.rulesets.digest import RulesetDigests
from engine.status.node_report import NodeReport, report_of
from engine.status.policy_status import Phase, PolicyStatus

_CALM, _GAP = 0.05, 1.0
"""Seconds without a change until something is reported, and until it is all the same."""

_LAG = 5.0
"""Seconds after which addresses that are not in force yet are news."""


@dataclass(slots=True)
class ReportThrottle:
    """Reports to ``tell``, None where the cluster does not have the node; ``now`` is a monotonic clock in seconds."""

    tell: Callable[[NodeReport | None], None]
    now: Callable[[], float]
    _refusal: ApplyFailed | None = None
    _seen: Derivation | None = None
    _changed: tuple[float, float] | None = None
    """When something changed first and last that is not reported."""
    _realized: dict[str, PolicyStatus] = field(default_factory=dict)
    _late_since: float | None = None
    _fingerprints: RulesetDigests = field(default_factory=RulesetDigests)

    def did(self, body: EventBody) -> None:
        """Take note of what was done on the node."""
        if isinstance(body, ApplyFailed):
            self._refusal = body

    def consider(self, derivation: Derivation) -> float | None:
        """Tell what there is to report, if it is time, and return when there may be more to."""
        now, seen = self.now(), self._seen
        if seen is None or seen.state is not derivation.state or seen.desired is not derivation.desired:
            self._changed = (self._changed[0] if self._changed else now, now)
            self._seen = derivation
        if self._changed is not None:
            due = min(self._changed[1] + _CALM, self._changed[0] + _GAP)
            if now < due:
                return due
            self._changed = None
            self._report(derivation, now)
        if self._late_since is None:
            return None
        if now >= self._late_since + _LAG:
            self._report(derivation, now)
            return None
        return self._late_since + _LAG

    def _report(self, derivation: Derivation, now: float) -> None:
        state, node = derivation.state, derivation.node
        if derivation.desired is None or node not in state.nodes:
            self.tell(None)
            return
        known = state.outcomes.get(node)
        if self._refusal is None and isinstance(known, ApplyFailed):
            self._refusal = known  # of before we began
        report = report_of(state, node, derivation.desired, self._refusal, self._fingerprints)
        self.tell(replace(report, policies=tuple(self._patient(report, now))))

    def _patient(self, report: NodeReport, now: float) -> list[PolicyStatus]:
        """Return how far policies are, but for addresses that will be in force in a moment."""
        late = any(each.phase is Phase.REALIZING for each in report.policies)
        if not late or not report.enforced:
            self._late_since = None
            self._realized = {each.policy: each for each in report.policies if each.phase is Phase.REALIZED}
            return list(report.policies)
        self._late_since = now if self._late_since is None else self._late_since
        if now >= self._late_since + _LAG:
            return list(report.policies)
        return [self._as_before(each) for each in report.policies]

    def _as_before(self, policy: PolicyStatus) -> PolicyStatus:
        before = self._realized.get(policy.policy)
        return before if policy.phase is Phase.REALIZING and before and before.version == policy.version else policy
