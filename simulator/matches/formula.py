"""Boolean formulas over packet fields, as a tree: the form in which the symbolic engine gets each iptables match.

Leaves are ranges of numbers, names (of interfaces, for example), masked bits, and conditions that the packet's fields
do not decide. Formulas compare by identity, not by content: cached results are found again only for the same object.
numpy is not imported at run time, because it is slow to load and simulation of single packets does not need it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from typing import TYPE_CHECKING

from simulator.packets import ConnState

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

RangeBounds = tuple[Sequence[int], Sequence[int]] | tuple["npt.NDArray[np.int64]", "npt.NDArray[np.int64]"]
"""First and last value of each range; sorted, disjoint and not adjacent."""


@dataclass(frozen=True, eq=False)
class Within:
    """Numeric field in one of several ranges."""

    field: str
    bounds: RangeBounds

    @cached_property
    def count(self) -> int:
        """Number of ranges."""
        return len(self.bounds[0])


@dataclass(frozen=True, eq=False, slots=True)
class NameCondition:
    """Name equal to the pattern, or beginning with it if the pattern ends with ``+``."""

    field: str
    pattern: str


@dataclass(frozen=True, eq=False, slots=True)
class MaskedBits:
    """Numeric field whose bits under ``mask`` equal ``value``."""

    field: str
    mask: int
    value: int


class AnswerScope(Enum):
    """Scope in which an unmodelled match has one result: this rule, this packet, or the whole ruleset."""

    HERE = auto()
    """This rule only."""
    PACKET = auto()
    """All rules, for the same packet."""
    EVERYWHERE = auto()
    """All rules and packets."""


@dataclass(frozen=True, eq=False, slots=True)
class FreeCondition:
    """Condition that the fields do not decide, so that it may hold or not.

    ``text`` is the match as iptables prints it; ``why`` completes a sentence about it.
    """

    text: str
    why: str
    answer: AnswerScope = AnswerScope.HERE


@dataclass(frozen=True, eq=False, slots=True)
class And:
    """True if all parts are true."""

    parts: tuple["Formula", ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Or:
    """True if any part is true."""

    parts: tuple["Formula", ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Not:
    """True if the part is false."""

    part: "Formula"


Atom = Within | NameCondition | MaskedBits | FreeCondition
Formula = Atom | And | Or | Not

TRUE: Formula = And()
FALSE: Formula = Or()

STATES = tuple(ConnState)
"""Connection states in the order of their numbers."""


@dataclass(frozen=True, slots=True)
class Undecided:
    """Reason why fields do not decide a match; ``why`` completes a sentence about it."""

    why: str
    answer: AnswerScope = AnswerScope.HERE

    def free(self, text: str) -> FreeCondition:
        """Return the free condition of a match with this text."""
        return FreeCondition(text, self.why, self.answer)


MORE_THAN_THE_PACKET = Undecided("depends on more than the packet, so it may hold or not")
ON_THE_WIRE = Undecided("asks for more of the packet than its fields", AnswerScope.PACKET)


def within(field: str, *ranges: tuple[int, int]) -> Within:
    """Return the condition that a number is in one of these ranges, in any order, bounds included."""
    return Within(field, merged(ranges))


def merged(ranges: Iterable[tuple[int, int]]) -> tuple[Sequence[int], Sequence[int]]:
    """Return the ranges sorted, with overlapping and adjacent ones merged."""
    lows: list[int] = []
    highs: list[int] = []
    for low, high in sorted(ranges):
        if highs and low <= highs[-1] + 1:
            highs[-1] = max(highs[-1], high)
        else:
            lows.append(low)
            highs.append(high)
    return lows, highs


def atoms(formula: Formula) -> Iterator[Atom]:
    """Yield the atoms of a formula; an atom that occurs twice is yielded twice."""
    pending = [formula]
    while pending:
        node = pending.pop()
        if isinstance(node, And | Or):
            pending += node.parts
        elif isinstance(node, Not):
            pending.append(node.part)
        else:
            yield node


def state_condition(*states: ConnState) -> Within:
    """Return the condition that the connection state is one of these."""
    return within("state", *((STATES.index(state), STATES.index(state)) for state in states))


def whole(*protocols: int) -> Formula:
    """Return the condition that a packet has the header of one of these protocols, so is no later fragment."""
    return And((within("protocol", *((each, each) for each in protocols)), MaskedBits("fragment", 1, 0)))
