"""ipset: sets as they were saved, and what packets find in them and make of them.

This package knows nothing of rules; `simulator.matches.set_match` looks into sets, `simulator.netfilter.set_target`
changes them. Of the types, those that the tests' kernel has are held against it; the others follow its source.
"""

from simulator.sets.dynamic import Count, Counting, Visit
from simulator.sets.registry import Asked, Reply, Sets, delete, insert, is_untouched, plain_test, test
from simulator.sets.static import Saved, read_set

__all__ = [
    "Asked",
    "Count",
    "Counting",
    "Reply",
    "Saved",
    "Sets",
    "Visit",
    "delete",
    "insert",
    "is_untouched",
    "plain_test",
    "read_set",
    "test",
]
