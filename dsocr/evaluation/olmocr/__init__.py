"""olmOCR-bench: its tests, how they are judged and its pages read."""

from dsocr.evaluation.olmocr.scores import (
    BASELINE,
    PageTest,
    Scores,
    read_predictions,
    read_tests,
    run,
    score,
    table,
)

__all__ = [
    "BASELINE",
    "PageTest",
    "Scores",
    "read_predictions",
    "read_tests",
    "run",
    "score",
    "table",
]
