"""Fox: what its pages are, how they are scored and read."""

from dsocr.evaluation.fox.scores import (
    Page,
    Scores,
    read_prediction,
    read_truth,
    score,
    table,
)

__all__ = [
    "Page",
    "Scores",
    "read_prediction",
    "read_truth",
    "score",
    "table",
]
