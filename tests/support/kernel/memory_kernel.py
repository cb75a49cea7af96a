"""A kernel in memory that notes what is read, and a source of change notices for it."""

from adapters.netfilter.memory import MemoryBackend
from engine.rulesets.model import Family, IpSet, Ruleset, Table


class Held(MemoryBackend):
    """A backend in memory, and what has been read of it."""

    def __init__(self, ruleset: Ruleset) -> None:
        super().__init__(ruleset)
        self.reads: list[str] = []

    def tables(self, family: Family) -> tuple[Table, ...]:
        """Return the tables of one family."""
        self.reads.append(family)
        return super().tables(family)

    def sets(self, name: str = "") -> tuple[IpSet, ...]:
        """Return the sets, or one."""
        self.reads.append(name or "sets")
        return super().sets(name)


class Told:
    """Tells of both families' rules once after each change."""

    def __init__(self) -> None:
        self.fresh = frozenset(Family)

    def families(self) -> frozenset[Family]:
        """Return the families that have changed."""
        found, self.fresh = self.fresh, frozenset()
        return found
