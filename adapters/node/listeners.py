"""Listeners of the agent: lists of callbacks for recorded outcomes, turns of the loop, applied rules and durations.

Metrics, health and status reports register here, so that the agent does not depend on them. Input: callables, appended
to the list of their kind. Output: when the agent reports something, a call of each callable of that kind, in order. An
error of a callable passes to the agent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from engine.desired.full import DesiredRuleset
from engine.desired.incremental import Derivation
from engine.events import EventBody

EventListener = Callable[[EventBody], object]
TurnListener = Callable[[Derivation], float | None]
"""Returns the latest time for its next call, by the monotonic clock in seconds, or None."""
EnforcedListener = Callable[[DesiredRuleset, Sequence[datetime]], object]
StageListener = Callable[[str, float], object]


@dataclass(frozen=True, slots=True)
class AgentListeners:
    """Listeners of each kind, called in the order of the lists."""

    on_did: list[EventListener] = field(default_factory=list)
    on_turned: list[TurnListener] = field(default_factory=list)
    on_in_force: list[EnforcedListener] = field(default_factory=list)
    on_took: list[StageListener] = field(default_factory=list)

    def did(self, body: EventBody) -> None:
        """Report an event that the agent recorded."""
        for each in self.on_did:
            each(body)

    def turned(self, derivation: Derivation) -> float | None:
        """Report a turn of the loop; return the earliest time that a listener asks for its next turn, or None."""
        moments = [moment for each in self.on_turned if (moment := each(derivation)) is not None]
        return min(moments, default=None)

    def in_force(self, wanted: DesiredRuleset, since: Sequence[datetime]) -> None:
        """Report applied rules, with the record times of the events that changed them."""
        for each in self.on_in_force:
            each(wanted, since)

    def took(self, stage: str, seconds: float) -> None:
        """Report the duration of a stage."""
        for each in self.on_took:
            each(stage, seconds)
