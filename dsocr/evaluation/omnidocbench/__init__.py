"""OmniDocBench: what its pages are, how their blocks are matched, scored and read."""

from dsocr.evaluation.omnidocbench.comparison import VERSIONS
from dsocr.evaluation.omnidocbench.page import Scores, score_page
from dsocr.evaluation.omnidocbench.scores import language_table, overall, source_table, table, without_cdm
from dsocr.evaluation.omnidocbench.truth import Block, Page, read_prediction, read_truth

__all__ = [
    "VERSIONS",
    "Block",
    "Page",
    "Scores",
    "language_table",
    "overall",
    "read_prediction",
    "read_truth",
    "score_page",
    "source_table",
    "table",
    "without_cdm",
]
