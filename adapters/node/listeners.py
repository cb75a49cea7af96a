"""Who hears of what an agent does; it is told once, and everybody who listens is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from engine.desired.full import Desired
from engine.desired.incremental import Derivation
from engine.events import EventBody

Did = Callable[[EventBody], object]
Turned = Callable[[Derivation], float | None]
"""Returns when it wants to be told again at the latest, by the monotonic clock in seconds."""
InForce = Callable[[Desired, Sequence[datetime]], object]
Took = Callable[[str, float], object]


@dataclass(frozen=True, slots=True)
class Outlets:
    """Listeners of each kind, told in the order in which they came."""

    on_did: list[Did] = field(default_factory=list)
    on_turned: list[Turned] = field(default_factory=list)
    on_in_force: list[InForce] = field(default_factory=list)
    on_took: list[Took] = field(default_factory=list)

    def did(self, body: EventBody) -> None:
        """Tell what was done."""
        for each in self.on_did:
            each(body)

    def turned(self, derivation: Derivation) -> float | None:
        """Tell that the loop has gone round, and what is wanted now; return when it has to go round again for that."""
        moments = [moment for each in self.on_turned if (moment := each(derivation)) is not None]
        return min(moments, default=None)

    def in_force(self, wanted: Desired, since: Sequence[datetime]) -> None:
        """Tell what came into force, and when that was put on record."""
        for each in self.on_in_force:
            each(wanted, since)

    def took(self, stage: str, seconds: float) -> None:
        """Tell how long a stage took."""
        for each in self.on_took:
            each(stage, seconds)
