"""Batch engine: computes the verdicts of millions of packets, many at a time, as the `Walker` computes them one by one.

Input: packets as numpy columns (`Columns`), one array per field, or IP packets as bytes. Output: arrays of verdicts and
deciding rules (`BatchVerdicts`).

The engine finds out which packets a match holds for by calling the match itself, so no match is implemented twice. If
the columns do not decide the verdict of a packet, the `Walker` evaluates it.
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
