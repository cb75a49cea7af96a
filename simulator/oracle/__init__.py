"""What the policies themselves say of a packet, without any rule compiled: the reference that compiled rules must meet.

``evaluate`` considers rules in order; ``members`` and ``traffic`` say who and what a rule means, ``labels`` whether a
selector holds, all with reasons for people.
"""

from simulator.oracle.evaluate import Explanation, RuleConsideration, evaluate

__all__ = ["Explanation", "RuleConsideration", "evaluate"]
