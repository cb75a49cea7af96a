"""Boolean functions as binary decision diagrams (BDDs); the only module that imports the BDD library.

Functions of one `Bdd` are combined with ``&``, ``|``, ``^`` and ``~``; equal functions compare equal. The variable
order is the order of creation. `within_limits` raises `NoProof` if the diagrams exceed a number of nodes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from oxidd.bcdd import BCDDFunction, BCDDManager
from oxidd.util import DDMemoryError

from engine.errors import NoProof

BddFunction = BCDDFunction
"""A set of packets, or any other function of variables."""

NODE_BYTES = 32
"""Memory of one node, with its share of tables and caches, as measured."""

DEFAULT_NODES = 1 << 25
"""About 1 GiB; memory is taken only as nodes come."""

_KNOWN = 1 << 18
"""Operations whose results are kept at hand. Eight times as many take 70 MB more and make nothing faster."""

TimeCheck = Callable[[], bool]
"""Whether there is still time."""


MEMORY, TIME = "memory", "time"
"""What can be exhausted."""


@contextmanager
def within_limits() -> Iterator[None]:
    """Run a block whose functions may need more nodes than are allowed.

    Raises:
        NoProof: they did.
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
        """Make variables, asked after all there were."""
        return tuple(self._manager.var(number) for number in self._manager.add_vars(count))

    def all_of(self, functions: Iterable[BddFunction]) -> BddFunction:
        """Return the conjunction."""
        found = self.true
        for function in functions:
            found &= function
        return found

    def some(self, function: BddFunction, variables: Sequence[BddFunction]) -> BddFunction:
        """Return for which values of the other variables some values of these make a function true."""
        return function.exists(self.all_of(reversed(variables))) if variables else function

    def every(self, function: BddFunction, variables: Sequence[BddFunction]) -> BddFunction:
        """Return for which values of the other variables all values of these make a function true."""
        return function.forall(self.all_of(reversed(variables))) if variables else function


def number_of(variable: BddFunction) -> int:
    """Return the place of a variable in the order."""
    level = variable.node_level()
    if level is None:
        raise ValueError(variable)
    return level


def top(function: BddFunction) -> int | None:
    """Return the place of the first variable that a function asks, or None where it asks none."""
    return function.node_level()


def halves(function: BddFunction) -> tuple[BddFunction, BddFunction]:
    """Return what is left of a function once its first variable is true, and once it is false."""
    found = function.cofactors()
    return (function, function) if found is None else found


def is_true(function: BddFunction) -> bool:
    """Whether a function holds whatever the variables are."""
    return function.valid()


def is_false(function: BddFunction) -> bool:
    """Whether a function holds never."""
    return not function.satisfiable()


def size(function: BddFunction) -> int:
    """Return how many nodes a function has."""
    return function.node_count()


def way(function: BddFunction) -> Iterator[tuple[int, bool]] | None:
    """Return one way to make a function true: which variables have to be what; None where there is none."""
    found = function.pick_cube()
    if found is None:
        return None
    return ((place, value) for place, value in enumerate(found) if value is not None)


def holds(function: BddFunction, chosen: Mapping[int, bool]) -> bool:
    """Whether a function holds for a choice of variables, by their places; what is not chosen counts as false."""
    # All are given, as oxidd 0.13 is not consistent about those that are left out.
    return function.eval((place, chosen.get(place, False)) for place in range(function.manager.num_vars()))
