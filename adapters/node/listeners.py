"""Who hears of what an agent does; it is told once, and everybody who listens is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from engine.desired.full import DesiredRuleset
from engine.desired.incremental import Derivation
from engine.events import EventBody

EventListener = Callable[[EventBody], object]
TurnListener = Callable[[Derivation], float | None]
"""Returns when it wants to be told again at the latest, by the monotonic clock in seconds."""
EnforcedListener = Callable[[DesiredRuleset, Sequence[datetime]], object]
StageListener = Callable[[str, float], object]


@dataclass(frozen=True, slots=True)
class AgentListeners:
    """Listeners of each kind, told in the order in which they came."""

    on_did: list[EventListener] = field(default_factory=list)
    on_turned: list[TurnListener] = field(default_factory=list)
    on_in_force: list[EnforcedListener] = field(default_factory=list)
    on_took: list[StageListener] = field(default_factory=list)

    def did(self, body: EventBody) -> None:
        """Tell what was done."""
        for each in self.on_did:
            each(body)

    def turned(self, derivation: Derivation) -> float | None:
        """Tell that the loop has gone round, and what is wanted now; return when it has to go round again for that."""
        moments = [moment for each in self.on_turned if (moment := each(derivation)) is not None]
        return min(moments, default=None)

    def in_force(self, wanted: DesiredRuleset, since: Sequence[datetime]) -> None:
        """Tell what came into force, and when that was put on record."""
        for each in self.on_in_force:
            each(wanted, since)

    def took(self, stage: str, seconds: float) -> None:
        """Tell how long a stage took."""
        for each in self.on_took:
            each(stage, seconds)
