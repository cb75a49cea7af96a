"""Canonical form of rules and sets: two with the same meaning are equal, however a release of a tool spells them.

``rule`` and ``ipset`` compute the forms; ``values``, ``numbers``, ``icmp`` and ``services`` convert option values.
Diff, read-back and digests compare canonical forms; texts and operations keep the original spelling. The compiler's
output is canonical already. Options that nodewall does not know stay unchanged.
"""

from engine.rulesets.canonical.ipset import canonical_header, canonical_member, canonical_set
from engine.rulesets.canonical.rule import canonical_rule, canonical_rules, portable_rule

__all__ = [
    "canonical_header",
    "canonical_member",
    "canonical_rule",
    "canonical_rules",
    "canonical_set",
    "portable_rule",
]
