"""Model of ipset: stores saved sets, looks packets up in them, and applies changes that rules make to them.

`read_set` turns an `IpSet` into a `StaticSet`; `test`, `insert` and `delete` work on a `SetRegistry` (sets by name).
The package does not depend on rules: `simulator.matches.set_match` calls look-ups, `simulator.netfilter.set_target`
calls changes.

Tests compare the results with a kernel for all set types that the test kernel has. The other types follow the kernel's
source code.
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
