"""Topological order of an acyclic graph: callers before callees.

`callers_first` takes roots and a function that lists the callees of a node.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def callers_first(roots: Iterable[T], callees: Callable[[T], Iterable[T]]) -> list[T]:
    """Return everything reachable from the roots, callers first; there must be no loops."""
    done: dict[T, None] = {}
    for root in roots:
        pending = [(root, False)]
        while pending:
            each, left = pending.pop()
            if left:
                done.setdefault(each)
            elif each not in done:
                pending.append((each, True))
                pending += [(callee, False) for callee in callees(each) if callee not in done]
    return list(done)[::-1]
