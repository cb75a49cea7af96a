"""In-memory kernel that records reads, and a change detector for it."""

from adapters.netfilter.memory import MemoryBackend
from engine.rulesets.model import Family, IpSet, Ruleset, Table


class Held(MemoryBackend):
    """In-memory backend that records in ``reads`` which parts were read."""

    def __init__(self, ruleset: Ruleset) -> None:
        super().__init__(ruleset)
        self.reads: list[str] = []

    def tables(self, family: Family) -> tuple[Table, ...]:
        """Return the tables of one family, and record the read."""
        self.reads.append(family)
        return super().tables(family)

    def sets(self, name: str = "") -> tuple[IpSet, ...]:
        """Return all sets, or only the set called ``name``, and record the read."""
        self.reads.append(name or "sets")
        return super().sets(name)


class Told:
    """Change detector that reports the families in ``fresh`` once."""

    def __init__(self) -> None:
        self.fresh = frozenset(Family)

    def families(self) -> frozenset[Family]:
        """Return the changed families, and clear them."""
        found, self.fresh = self.fresh, frozenset()
        return found
