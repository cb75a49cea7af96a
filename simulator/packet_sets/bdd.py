"""Binary decision diagrams (BDDs) for Boolean functions; the only module that imports the BDD library, oxidd.

A packet set is such a function: its variables are bits of packet fields. A `Bdd` creates variables, in the order in
which its diagrams test them. Its functions (`BddFunction`) are combined with ``&``, ``|``, ``^`` and ``~``; equal
functions compare equal.

A `Bdd` has a limit on the number of nodes. Code that may reach the limit runs inside `within_limits`, which raises
`NoProof`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from oxidd.bcdd import BCDDFunction, BCDDManager
from oxidd.util import DDMemoryError

from engine.errors import NoProof

BddFunction = BCDDFunction
"""Boolean function of variables, such as a packet set."""

NODE_BYTES = 32
"""Memory of one node in bytes, with its share of tables and caches, as measured."""

DEFAULT_NODES = 1 << 25
"""Default limit of nodes, about 1 GiB; memory is allocated only as nodes are created."""

_KNOWN = 1 << 18
"""Operations whose results are cached. Eight times as many take 70 MB more and save no time."""

TimeCheck = Callable[[], bool]
"""Function that returns whether time is left."""


MEMORY, TIME = "memory", "time"
"""Resources that a computation can exhaust."""


@contextmanager
def within_limits() -> Iterator[None]:
    """Run a block of BDD operations, and report an exceeded node limit as `NoProof`.

    Raises:
        NoProof: the operations need more nodes than the limit allows.
    """
    try:
        yield
    except DDMemoryError as error:
        raise NoProof(MEMORY) from error


class Bdd:
    """Manager of decision diagrams that share nodes, with a limit on the number of nodes."""

    def __init__(self, nodes: int = DEFAULT_NODES) -> None:
        self._manager = BCDDManager(nodes, max(1 << 12, min(_KNOWN, nodes >> 3)), 1)
        self.true = self._manager.true()
        self.false = self._manager.false()

    def variables(self, count: int) -> tuple[BddFunction, ...]:
        """Create variables, behind all existing ones in the order."""
        return tuple(self._manager.var(number) for number in self._manager.add_vars(count))

    def all_of(self, functions: Iterable[BddFunction]) -> BddFunction:
        """Return the conjunction of functions."""
        found = self.true
        for function in functions:
            found &= function
        return found

    def some(self, function: BddFunction, variables: Sequence[BddFunction]) -> BddFunction:
        """Quantify existentially: true where some values of these variables make the function true."""
        return function.exists(self.all_of(reversed(variables))) if variables else function

    def every(self, function: BddFunction, variables: Sequence[BddFunction]) -> BddFunction:
        """Quantify universally: true where all values of these variables make the function true."""
        return function.forall(self.all_of(reversed(variables))) if variables else function


def number_of(variable: BddFunction) -> int:
    """Return the position of a variable in the order."""
    level = variable.node_level()
    if level is None:
        raise ValueError(variable)
    return level


def top(function: BddFunction) -> int | None:
    """Return the position of the first variable that a function depends on, or None for a constant."""
    return function.node_level()


def halves(function: BddFunction) -> tuple[BddFunction, BddFunction]:
    """Return the cofactors of a function: its value if its first variable is true, and if it is false."""
    found = function.cofactors()
    return (function, function) if found is None else found


def is_true(function: BddFunction) -> bool:
    """Return whether a function is always true."""
    return function.valid()


def is_false(function: BddFunction) -> bool:
    """Return whether a function is never true."""
    return not function.satisfiable()


def size(function: BddFunction) -> int:
    """Return the number of nodes of a function."""
    return function.node_count()


def way(function: BddFunction) -> Iterator[tuple[int, bool]] | None:
    """Return one assignment that makes a function true, as variable positions and values; None if there is none."""
    found = function.pick_cube()
    if found is None:
        return None
    return ((place, value) for place, value in enumerate(found) if value is not None)


def holds(function: BddFunction, chosen: Mapping[int, bool]) -> bool:
    """Return the value of a function for an assignment by variable position; variables without a value are false."""
    # Pass all variables, because oxidd 0.13 treats missing ones inconsistently.
    return function.eval((place, chosen.get(place, False)) for place in range(function.manager.num_vars()))
