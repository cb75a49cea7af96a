"""Batch evaluation: verdicts for millions of packets at once, equal to those of the `Walker`.

Packets are numpy columns (`Columns`). For each match of a ruleset, the evaluator finds the packets it holds for by
calling the match itself, so no match is implemented twice. Packets that columns cannot decide go to the `Walker`.
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
