"""Whose rule decided on a packet where a kernel rule serves many: the one that decides in the linear layout.

Both layouts do the same to every packet, so the rule that the linear one comes upon is the exact one of those merged.
"""

from dataclasses import replace

from engine.rulesets.model import Ruleset
from engine.rulesets.ownership import is_merged
from simulator.netfilter import Evaluation, Walker


class Attribution:
    """Tells decisions of an optimised ruleset by the linear one of the same rules."""

    def __init__(self, linear: Ruleset) -> None:
        self._walker = Walker(linear)

    def of(self, answer: Evaluation) -> Evaluation:
        """Return an answer that names the one rule of a policy that decided, in the place where it stands merged."""
        by = answer.decided_by
        if by is None or not is_merged(by.comment):
            return answer
        exact = self._walker.verdict(answer.packet, answer.hook).decided_by
        return replace(answer, decided_by=replace(by, comment=exact.comment)) if exact else answer
