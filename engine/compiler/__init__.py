"""Compiles the effective rules of one node to a `Ruleset` of iptables chains and ipsets.

Input: `CompletedRule` values in evaluation order and `CompilerOptions`. Output: `Ruleset`. ``traffic`` and ``logging``
build matches and targets, ``rule_parts`` compiles one rule, ``assemble`` combines the parts. ``optimised`` holds the
alternative layout with fewer rules per packet.
"""

from engine.compiler.assemble import (
    TABLE,
    Compiled,
    LayoutCaches,
    assemble,
    assemble_like,
    compile_rules,
    compile_within,
)
from engine.compiler.logging import label_is_cut, log_prefix
from engine.compiler.optimised.builder import LayoutLimits
from engine.compiler.options import DEFAULT_OPTIONS, CompilerOptions, Layout, LogTarget
from engine.compiler.rule_parts import HOOKS, SET_TYPE, RulePart, chain_of, part_of

__all__ = [
    "DEFAULT_OPTIONS",
    "HOOKS",
    "SET_TYPE",
    "TABLE",
    "Compiled",
    "CompilerOptions",
    "Layout",
    "LayoutCaches",
    "LayoutLimits",
    "LogTarget",
    "RulePart",
    "assemble",
    "assemble_like",
    "chain_of",
    "compile_rules",
    "compile_within",
    "label_is_cut",
    "log_prefix",
    "part_of",
]
