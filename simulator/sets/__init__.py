"""Model of ipset: saved sets, look-ups of packets in them, and changes that rules make to them.

`read_set` turns an `IpSet` into a `StaticSet`; `test`, `insert` and `delete` work on a `SetRegistry`. The package does
not depend on rules: `simulator.matches.set_match` looks packets up, `simulator.netfilter.set_target` changes sets.
Kernel differential tests check the set types that the test kernel has. The other types follow the kernel's source.
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
