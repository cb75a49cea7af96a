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
    assemble_incrementally,
    compile_rules,
    compile_with_limits,
)
from engine.compiler.logging import label_is_cut, log_prefix
from engine.compiler.optimised.builder import LayoutLimits
from engine.compiler.options import DEFAULT_OPTIONS, CompilerOptions, Layout, LogTarget
from engine.compiler.rule_parts import HOOKS, SET_TYPE, RulePart, chain_of, compile_part

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
    "assemble_incrementally",
    "chain_of",
    "compile_part",
    "compile_rules",
    "compile_with_limits",
    "label_is_cut",
    "log_prefix",
]
