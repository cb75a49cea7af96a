"""Breakpoints of the matches of one module, for the batch engine: field values at which their result may change.

Input: the options of one ``-m`` in a rule, and a `BreakpointContext` (family, sets and node). Output: sorted values for
addresses, numbers (such as ports) and ICMP types. Between two of them, the result is constant.

The output is None if the breakpoints are not known.
"""

from collections.abc import Mapping

from simulator.batch.columns import NOT_GIVEN
from simulator.matches import OptionGroup, spans_of
from simulator.matches.basic import BITS
from simulator.matches.breakpoints import BreakpointContext, ValueKind

KINDS: Mapping[str, ValueKind] = {
    "src": ValueKind.ADDRESS,
    "dst": ValueKind.ADDRESS,
    "sport": ValueKind.NUMBER,
    "dport": ValueKind.NUMBER,
    "length": ValueKind.NUMBER,
    "icmp": ValueKind.ICMP,
}

Edges = Mapping[ValueKind, tuple[int, ...]]
"""First value of each range, sorted; values below a rule's first edge form a range too."""

_LEAST: Mapping[ValueKind, tuple[int, ...]] = {
    ValueKind.ADDRESS: (0,),
    ValueKind.NUMBER: (NOT_GIVEN, 0),
    ValueKind.ICMP: (NOT_GIVEN, 0),
}


def edges_of(group: OptionGroup, context: BreakpointContext) -> Edges | None:
    """Return the edges of a match's options, or None if they are unknown."""
    found = {kind: set(least) for kind, least in _LEAST.items()}
    top = 1 << BITS[context.family]
    try:
        for match in group:
            spans = spans_of(match, context)
            if spans is None:
                return None
            for kind, low, high in spans:
                found[kind] |= {low, high} if kind is not ValueKind.ADDRESS or high < top else {low}
    except (KeyError, ValueError, IndexError):
        return None
    return {kind: tuple(sorted(values)) for kind, values in found.items()}
