"""Tells of a node whenever what it would report is another, but not more often than makes sense."""

from collections.abc import Callable
from dataclasses import dataclass, field

from engine.derive import Derivation
from engine.events import EventBody
from engine.fingerprints import Fingerprints
from engine.outcomes import ApplyFailed
from engine.report import NodeReport, report_of
from engine.state import ClusterState

_GAP = 0.25
"""Seconds between two reports, which take some time to make."""


@dataclass(slots=True)
class Reporter:
    """Reports to ``tell``, None where the cluster does not have the node; ``now`` is a monotonic clock in seconds."""

    tell: Callable[[NodeReport | None], None]
    now: Callable[[], float]
    _refusal: ApplyFailed | None = None
    _seen: tuple[ClusterState | None, object] = (None, None)
    _next: float = float("-inf")
    _fingerprints: Fingerprints = field(default_factory=Fingerprints)

    def did(self, body: EventBody) -> None:
        """Take note of what was done on the node."""
        if isinstance(body, ApplyFailed):
            self._refusal = body

    def consider(self, derivation: Derivation) -> None:
        """Tell what there is to report, unless it is too soon or nothing has changed."""
        seen, now = (derivation.state, derivation.desired), self.now()
        if (seen[0] is self._seen[0] and seen[1] is self._seen[1]) or now < self._next:
            return
        self._seen, self._next = seen, now + _GAP
        state, node = derivation.state, derivation.node
        if derivation.desired is None or node not in state.nodes:
            self.tell(None)
            return
        known = state.outcomes.get(node)
        if self._refusal is None and isinstance(known, ApplyFailed):
            self._refusal = known  # of before we began
        self.tell(report_of(state, node, derivation.desired, self._refusal, self._fingerprints))
