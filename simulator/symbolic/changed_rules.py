"""Finds the packets whose verdict may differ between two rulesets: those that a changed rule can match.

Comparisons use it to examine fewer packets. Input: a `PacketSpace` (encoding of packets), the old and the new
`SymbolicRuleset`, and a hook. Output: a packet set; all packets outside it get the same verdict from both rulesets.

The output is all packets if rules rewrite packets, or if chain policies or the raw table differ, because then no
smaller set is known.
"""

from collections.abc import Iterator

from engine.rulesets.kept_rules import kept_pairs
from engine.rulesets.model import Hook
from simulator.packet_sets.bdd import BddFunction
from simulator.packet_sets.space import UNCHANGED, PacketSpace
from simulator.symbolic.reachability import below
from simulator.symbolic.symbolic_rules import SymbolicChain, SymbolicRule, SymbolicRuleset


def affected_packets(space: PacketSpace, old: SymbolicRuleset, new: SymbolicRuleset, hook: Hook) -> BddFunction:
    """Return a packet set outside which both rulesets give equal verdicts at a hook."""
    everything = space.diagram.true
    before, after = old.hooks[hook], new.hooks[hook]
    if [(block.table, block.policy) for block in before] != [(block.table, block.policy) for block in after]:
        return everything
    pairs = list(zip(before, after, strict=True))
    if any(old.table == "raw" and old is not new for old, new in pairs):
        return everything  # the raw table sees packets before connection tracking
    if any(row.writes for pair in pairs for root in pair for block in below(root) for row in block.rows):
        return everything  # a condition may refer to a rewritten field
    found = ~everything
    for row in _unlike(pairs):
        found |= space.function(row.condition, UNCHANGED, row.occurrence)
    return found


def _unlike(pairs: list[tuple[SymbolicChain, SymbolicChain]]) -> Iterator[SymbolicRule]:
    """Yield the rules of each chain that the other version of the chain lacks, in order."""
    done = set(pairs)
    while pairs:
        before, after = pairs.pop()
        if before is after:
            continue
        kept = kept_pairs([_key(row) for row in before.rows], [_key(row) for row in after.rows])
        for block, places in ((before, {old for old, _ in kept}), (after, {new for _, new in kept})):
            yield from (row for place, row in enumerate(block.rows) if place not in places)
        for old, new in kept:
            first, second = before.rows[old].into, after.rows[new].into
            if first is not None and second is not None and (first, second) not in done:
                done.add((first, second))
                pairs.append((first, second))


def _key(row: SymbolicRule) -> tuple[object, ...]:
    return (row.occurrence, row.condition)
