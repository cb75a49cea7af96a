"""Names the policy rule that decides about a packet in the optimised layout, where several share a kernel rule.

In the linear layout every policy rule has a kernel rule of its own, and the verdicts are equal. So the rule that
decides there is the policy rule. `Attribution.of` takes an `Evaluation` and returns one with that rule's comment.
"""

from dataclasses import replace

from engine.rulesets.model import Ruleset
from engine.rulesets.ownership import is_merged
from simulator.netfilter import Evaluation, Walker


class Attribution:
    """Finds the exact policy rule of a decision with the linear layout of the same rules."""

    def __init__(self, linear: Ruleset) -> None:
        self._walker = Walker(linear)

    def of(self, answer: Evaluation) -> Evaluation:
        """Return the evaluation with the exact policy rule; the kernel rule's position stays."""
        by = answer.decided_by
        if by is None or not is_merged(by.comment):
            return answer
        exact = self._walker.verdict(answer.packet, answer.hook).decided_by
        return replace(answer, decided_by=replace(by, comment=exact.comment)) if exact else answer
