"""A small drawn benchmark: a page of each kind, and the prose it is drawn from."""

from __future__ import annotations

from dsocr.evaluation.drawn.letters import LETTERS
from dsocr.evaluation.drawn.pages import KINDS, DrawnPage, draw_pages


def small_set(count: int = len(KINDS), seed: int = 0) -> list[DrawnPage]:
    return draw_pages(LETTERS, count, seed)
