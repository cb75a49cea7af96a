"""EXPR, the language in which packets are named: pcap-filter(7) with extensions, on what netfilter sees of a packet.

An expression is made of matches of iptables, so that what its leaves mean is written once, in `simulator.matches`.
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
from simulator.expression.unparse import spelled

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
    "holds",
    "parse",
    "spelled",
]
