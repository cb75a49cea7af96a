"""Types for breakpoints of matches: the field values at which the result of a match may change.

The batch engine (evaluates many packets at once) uses breakpoints. Between two breakpoints of a field the result is
constant, so the engine evaluates the match only once per interval. Too many breakpoints cost time but do no harm.

`Breakpoints` is a function from an argument of a match to ranges; `BreakpointContext` has the family, the sets and the
node that it needs.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from engine.rulesets.model import Family, IpSet
from simulator.context import Host


class ValueKind(Enum):
    """Kinds of fields whose values are divided into ranges."""

    ADDRESS = auto()
    NUMBER = auto()
    ICMP = auto()


Span = tuple[ValueKind, int, int]
"""First value of a range, and the first value after it."""


@dataclass(frozen=True, slots=True)
class BreakpointContext:
    """Surroundings of a match: the family, the sets by name, and the node."""

    family: Family
    sets: Mapping[str, IpSet]
    host: Host | None = None


Breakpoints = Callable[[str, BreakpointContext], Iterable[Span]]
"""Function from a word to the ranges that it names; ValueError, KeyError or IndexError if it is not understood."""

NO_RANGES = "asks for no field whose values go by ranges"
READS_BYTES = "asks for the packet's bytes, so that packets are walked"
REMEMBERS = "depends on packets before or on chance, so that packets are walked"


def anywhere(_word: str, _context: BreakpointContext) -> Iterable[Span]:
    """Return no range: the match reads fields with ranges, but its result does not depend on them."""
    return ()
