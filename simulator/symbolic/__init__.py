"""Exact sets of packets, and what rules make of all packets at once.

`Library` reads rulesets, `Atlas` puts several into one space, and `Fates` says what becomes of every packet at a hook.
Numbers that sets cannot tell apart are one class, so a set of 100,000 addresses costs no more than one of a few.
"""

from simulator.packet_sets.bdd import Function, is_false, within_limits
from simulator.packet_sets.counting import Example, count, example, labelled, values
from simulator.packet_sets.space import Space
from simulator.symbolic.context import Atlas, Budget
from simulator.symbolic.reachability import Decided, Fates, deciders
from simulator.symbolic.set_conditions import Moving
from simulator.symbolic.symbolic_rules import Library, World

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
