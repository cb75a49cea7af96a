"""Symbolic engine: computes the verdict of a ruleset for all packets at once, as exact packet sets.

`SymbolicRulesetReader` reads a ruleset. `SymbolicContext` puts several rulesets into one `PacketSpace`, so that their
packet sets can be compared. `HookOutcome` has the packets of each verdict at a hook.

Values that no rule distinguishes form one class, so a set of 100,000 addresses costs little more than a small one.
Raises `NoProof` if a limit of memory or time is exceeded.
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
