"""Evaluations on disk: resumed, reported, compared."""

from mlcd.core.results.comparison import Comparison, compare
from mlcd.core.results.evaluation import Evaluation
from mlcd.core.results.exhibits import Picture, Plot, Published, Table
from mlcd.core.results.result import Result, load_result
from mlcd.core.results.stamp import Stamp

__all__ = [
    "Comparison",
    "Evaluation",
    "Picture",
    "Plot",
    "Published",
    "Result",
    "Stamp",
    "Table",
    "compare",
    "load_result",
]
