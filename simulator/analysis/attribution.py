"""Attribution: finds the exact policy rule behind a decision, if one kernel rule serves several policy rules.

Such merged rules exist only in the optimised layout of the compiled rules. The linear layout has separate rules per
policy rule, and gives every packet the same verdict. So this module evaluates the packet again in the linear layout.

Input: the linear ruleset, and an `Evaluation` (verdict on a packet with its deciding rule). Output: the `Evaluation`
with the comment of the exact rule.
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
