"""ipset: sets as they were saved, and what packets find in them and make of them.

This package knows nothing of rules; `simulator.matches.sets` looks into sets, `simulator.netfilter.setting` changes
them. Of the types, those that the tests' kernel has are held against it; the others follow its source.
"""

from simulator.sets.live import Count, Counting, Visit
from simulator.sets.saved import Saved, read_set
from simulator.sets.table import Asked, Reply, Sets, delete, insert, is_untouched, plain_test, test

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
