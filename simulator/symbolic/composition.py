"""Composition of consecutive rules: computes their combined effect on packet sets, for the symbolic engine.

Input: a `RuleSequence` per rule, with the packets that the rule takes and their verdicts. Output: one `RuleSequence`
for all rules, or None if there are none. It applies only to rules that do not rewrite packets.

Neighbours are combined in pairs, then the pairs, and so on, so most operations work on small diagrams.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simulator.netfilter.answer import Verdict
from simulator.packet_sets.bdd import BddFunction


@dataclass(frozen=True, slots=True)
class RuleSequence:
    """Effect of consecutive rules.

    Attributes:
        taken: Packets that do not continue after the rules.
        ends: Those packets by verdict; None means that they return to the caller.
    """

    taken: BddFunction
    ends: Mapping[Verdict | None, BddFunction]

    def then(self, other: "RuleSequence") -> "RuleSequence":
        """Return the effect of this sequence followed by another."""
        ends = dict(self.ends)
        for end, packets in other.ends.items():
            left = packets & ~self.taken
            ends[end] = ends[end] | left if end in ends else left
        return RuleSequence(self.taken | other.taken, ends)


def compose(parts: Sequence[RuleSequence]) -> RuleSequence | None:
    """Combine consecutive sequences into one, in pairs; return None if there are none."""
    while len(parts) > 1:
        pairs = [first.then(second) for first, second in zip(parts[::2], parts[1::2], strict=False)]
        parts = [*pairs, *parts[2 * len(pairs) :]]
    return parts[0] if parts else None
