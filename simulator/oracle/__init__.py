"""Reference implementation of policy semantics for one packet, independent of the compiler.

Tests compare compiled rules with it. `evaluate` considers rules in order and returns an `Explanation`. The modules
``peers``, ``traffic`` and ``labels`` evaluate the parts of a rule, each with reasons for people.
"""

from simulator.oracle.evaluate import Explanation, RuleConsideration, evaluate

__all__ = ["Explanation", "RuleConsideration", "evaluate"]
