"""Topological order of a graph without loops, such as chains and their jumps: each caller before its callees.

`callers_first` takes the start nodes and a function that lists the callees of a node. It returns all nodes that can be
reached from them, in this order. The symbolic engine orders chains with it.
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
