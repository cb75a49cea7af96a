"""Canonical form of rules and sets: equal for everything that means the same, however a tool spells it.

Diff, read-back and digests compare canonical forms; texts and operations keep the spelling that was read or compiled.
What nodewall compiles is canonical already. What is not known here keeps its words, so it equals only itself.
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
