"""Exact sets of packets, and what rules make of all packets at once.

`Library` reads rulesets, `Atlas` puts several into one space, and `Fates` says what becomes of every packet at a hook.
Numbers that sets cannot tell apart are one class, so a set of 100,000 addresses costs no more than one of a few.
"""

from simulator.headerspace.atlas import Atlas, Budget
from simulator.headerspace.course import Decided, Fates, deciders
from simulator.headerspace.diagram import Function, is_false, within_limits
from simulator.headerspace.measure import Example, count, example, labelled, values
from simulator.headerspace.membership import Moving
from simulator.headerspace.rules import Library, World
from simulator.headerspace.space import Space

__all__ = [
    "Atlas",
    "Budget",
    "Decided",
    "Example",
    "Fates",
    "Function",
    "Library",
    "Moving",
    "Space",
    "World",
    "count",
    "deciders",
    "example",
    "is_false",
    "labelled",
    "values",
    "within_limits",
]
