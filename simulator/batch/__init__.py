"""Batch engine: verdicts for millions of packets at once, equal to those of the simulator of single packets (`Walker`).

Input: packets as numpy columns (`Columns`), one array per field. For each match of a ruleset, the engine calls the
match itself to find the packets that it matches, so no match is implemented twice. Packets that columns cannot
describe go to the `Walker`.
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
