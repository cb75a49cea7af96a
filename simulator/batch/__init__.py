"""Verdicts on millions of packets at once, the same as single walks give.

Packets are columns of numbers. A ruleset is asked where each of its matches holds, so no match is written a second
time, and becomes bits by classes of values. What columns cannot tell is left to the `Walker`.
"""

from simulator.batch.columns import Columns, columns_of
from simulator.batch.evaluator import NOBODY, VERDICTS, BatchEvaluator, BatchEvaluators, BatchVerdicts
from simulator.batch.stream import answers, judged_wires
from simulator.batch.wire_columns import WireColumns, columns_of_wires

__all__ = [
    "NOBODY",
    "VERDICTS",
    "BatchEvaluator",
    "BatchEvaluators",
    "BatchVerdicts",
    "Columns",
    "WireColumns",
    "answers",
    "columns_of",
    "columns_of_wires",
    "judged_wires",
]
