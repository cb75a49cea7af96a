"""Exact sets of packets, and what rules make of all packets at once.

`SymbolicRulesetReader` reads rulesets, `SymbolicContext` puts several into one space, and `HookOutcome` says what
becomes of every packet at a hook. Numbers that sets cannot tell apart are one class, so a set of 100,000 addresses
costs no more than one of a few.
"""

from simulator.packet_sets.bdd import BddFunction, is_false, within_limits
from simulator.packet_sets.counting import ExamplePacket, count, example, labelled, values
from simulator.packet_sets.space import PacketSpace
from simulator.symbolic.context import Budget, SymbolicContext
from simulator.symbolic.reachability import DecidedPackets, HookOutcome, deciders
from simulator.symbolic.set_conditions import ChangingSet
from simulator.symbolic.symbolic_rules import SymbolicRuleset, SymbolicRulesetReader

__all__ = [
    "BddFunction",
    "Budget",
    "ChangingSet",
    "DecidedPackets",
    "ExamplePacket",
    "HookOutcome",
    "PacketSpace",
    "SymbolicContext",
    "SymbolicRuleset",
    "SymbolicRulesetReader",
    "count",
    "deciders",
    "example",
    "is_false",
    "labelled",
    "values",
    "within_limits",
]
