"""Second implementation of the policy semantics for one packet, independent of the compiler.

Tests compare compiled rules with it, and ``--explain`` shows its reasons. `evaluate` tries the policy rules in order
and returns an `Explanation`. The modules ``peers``, ``traffic`` and ``labels`` evaluate the parts of a rule.
"""

from simulator.oracle.evaluate import Explanation, RuleConsideration, evaluate

__all__ = ["Explanation", "RuleConsideration", "evaluate"]
