"""OmniDocBench: what its pages are, how their blocks are matched, scored and read."""

from dsocr.evaluation.omnidocbench.scores import (
    VERSIONS,
    Block,
    Page,
    Scores,
    language_table,
    overall,
    read_prediction,
    read_truth,
    score_page,
    source_table,
    table,
    without_cdm,
)

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
