"""ipset: sets as they were saved, and what packets find in them and make of them.

This package knows nothing of rules; `simulator.matches.set_match` looks into sets, `simulator.netfilter.set_target`
changes them. Of the types, those that the tests' kernel has are held against it; the others follow its source.
"""

from simulator.sets.dynamic import CounterCondition, CountingMode, SetLookupContext
from simulator.sets.registry import LookupResult, SetLookup, SetRegistry, delete, insert, is_untouched, plain_test, test
from simulator.sets.static import StaticSet, read_set

__all__ = [
    "CounterCondition",
    "CountingMode",
    "LookupResult",
    "SetLookup",
    "SetLookupContext",
    "SetRegistry",
    "StaticSet",
    "delete",
    "insert",
    "is_untouched",
    "plain_test",
    "read_set",
    "test",
]
