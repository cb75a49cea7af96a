"""Verdicts on millions of packets at once."""

from simulator.batch.columns import Columns, columns_of
from simulator.batch.judge import Judge, Judged

__all__ = ["Columns", "Judge", "Judged", "columns_of"]
