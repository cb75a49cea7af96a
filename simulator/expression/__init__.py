"""EXPR, the packet filter language: pcap-filter(7) with extensions, limited to what netfilter can match.

`parse` turns text into an `Expression` and raises `WordsRefused`; `expression_text` turns it back; `holds` says
whether a packet matches. The smallest parts of an expression are iptables matches of `simulator.matches`.
"""

from simulator.expression.ast import (
    EVERYTHING,
    AllOf,
    AnyOf,
    Expression,
    Leaf,
    Negated,
    all_of,
    any_of,
    check_of,
    holds,
)
from simulator.expression.parser import parse
from simulator.expression.unparse import expression_text

__all__ = [
    "EVERYTHING",
    "AllOf",
    "AnyOf",
    "Expression",
    "Leaf",
    "Negated",
    "all_of",
    "any_of",
    "check_of",
    "expression_text",
    "holds",
    "parse",
]
