"""Batch engine: computes the verdicts of millions of packets, many at a time, equal to those of the `Walker`.

Input: packets as numpy columns (`Columns`), one array per field, or IP packets as bytes. Output: arrays of verdicts and
deciding rules (`BatchVerdicts`).

The engine finds out which packets a match holds for by calling the match itself, so no match is implemented twice.
Packets that the columns do not decide are evaluated one by one by the `Walker`.
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
