"""Limits how often an agent reports the status of its Node.

Input: the :class:`Derivation` (cluster state and desired rules) after each turn of the agent's loop. Output: a
:class:`NodeReport`, or None for a Node that the cluster does not have. A change is reported after 0.05 seconds without
a further change, at the latest after 1 second.

If only new addresses of a policy are not applied yet, the policy stays reported as realized for up to 5 seconds. So
short delays do not change its status.
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
"""Seconds without a change before a report, and maximum seconds from the first change to a report."""

_LAG = 5.0
"""Seconds after which addresses that are not applied yet are reported."""


@dataclass(slots=True)
class ReportThrottle:
    """Passes reports to ``tell``, or None if the cluster lacks the Node; ``now`` is a monotonic clock in seconds."""

    tell: Callable[[NodeReport | None], None]
    now: Callable[[], float]
    _refusal: ApplyFailed | None = None
    """The last failed apply."""
    _seen: Derivation | None = None
    _changed: tuple[float, float] | None = None
    """Times of the first and last change that is not reported yet."""
    _realized: dict[str, PolicyStatus] = field(default_factory=dict)
    """Policy name -> its last status in phase Realized."""
    _late_since: float | None = None
    """Time since when a policy is in phase Realizing, None if no policy is."""
    _fingerprints: RulesetDigests = field(default_factory=RulesetDigests)

    def did(self, body: EventBody) -> None:
        """Remember a failed apply for the next report."""
        if isinstance(body, ApplyFailed):
            self._refusal = body

    def consider(self, derivation: Derivation) -> float | None:
        """Report a change if it is due; return the time of the next check, or None."""
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
            self._refusal = known  # from before this process started
        report = report_of(state, node, derivation.desired, self._refusal, self._fingerprints)
        self.tell(replace(report, policies=tuple(self._patient(report, now))))

    def _patient(self, report: NodeReport, now: float) -> list[PolicyStatus]:
        """Return the policy statuses; for up to 5 seconds, hide that new addresses are not applied yet."""
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
        """Return the last realized status of the same policy version if there is one, else the given status."""
        before = self._realized.get(policy.policy)
        return before if policy.phase is Phase.REALIZING and before and before.version == policy.version else policy
