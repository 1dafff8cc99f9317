"""Scores of pages grouped by mode, by kind of page, and by how much text a page holds: what compression costs."""

from __future__ import annotations

import itertools
import statistics
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from dsocr.evaluation.report.bootstrap import mean
from dsocr.evaluation.report.plots import Plot, Point, Series
from dsocr.evaluation.report.table import Cell, Column, Table

# The paper's steps of a hundred text tokens, and wider ones for pages that it does not have.
BINS = (*range(0, 1300, 100), 1300, 1500, 2000, 3000, 5000)
INTERVALS = "In brackets: where the mean of 95 % of samples drawn again from these pages lies."
RATIO = "Text tokens are those of the truth by {tokenizer}; the ratio is text tokens over vision tokens."


@dataclass(frozen=True)
class Figure:
    """Something that is measured on a page, and how it is written."""

    name: str
    form: str = ".1%"


@dataclass(frozen=True)
class PageFigures:
    """What was measured on one page read in one mode: a value for each figure, None where the page has none.

    vision_tokens is 0 where nobody knows how many there were; failed: it could not be read.
    """

    page: str
    mode: str
    kind: str
    text_tokens: int
    vision_tokens: int
    values: tuple[float | None, ...]
    failed: bool = False

    @property
    def ratio(self) -> float | None:
        """Text tokens for each vision token."""
        return self.text_tokens / self.vision_tokens if self.vision_tokens else None

    @property
    def bin(self) -> tuple[int, int | None]:
        """Which step of text tokens it falls in: from, up to."""
        return bin_of(self.text_tokens)


def bin_of(tokens: int) -> tuple[int, int | None]:
    """The step of BINS that a number of text tokens falls in; the last one has no end."""
    index = bisect_right(BINS, tokens)
    return BINS[index - 1], BINS[index] if index < len(BINS) else None


def show_bin(bin: tuple[int, int | None]) -> str:
    """Such as "600–700", or "5000 and more"."""
    low, high = bin
    return f"{low} and more" if high is None else f"{low}–{high}"


def by_mode(pages: Sequence[PageFigures], figures: Sequence[Figure], note: str) -> Table:
    """One row for each mode, all its pages together."""
    return grouped("By mode", (Column("mode"),), pages, figures, lambda page: (page.mode,), note)


def by_kind(pages: Sequence[PageFigures], figures: Sequence[Figure], what: str, note: str = "") -> Table:
    """One row for each kind of page in each mode; `what` a kind is."""
    columns = Column(what), Column("mode")
    ordered = sorted(pages, key=lambda page: page.kind)
    return grouped(f"By {what}", columns, ordered, figures, lambda page: (page.kind, page.mode), note)


def by_tokens(
    pages: Sequence[PageFigures], figures: Sequence[Figure], title: str = "By text tokens", note: str = ""
) -> Table:
    """One row for each step of text tokens in each mode."""
    columns = Column("text tokens"), Column("mode")
    ordered = sorted(pages, key=lambda page: page.bin[0])
    return grouped(title, columns, ordered, figures, lambda page: (show_bin(page.bin), page.mode), note)


def curve(pages: Sequence[PageFigures], index: int) -> tuple[Series, ...]:
    """The mean of one figure over the mean compression ratio, for each mode: a point for each step of text tokens."""
    return _curve(pages, index, lambda page: page.ratio)


def plot(title: str, pages: Sequence[PageFigures], index: int, label: str, more: Iterable[Series] = ()) -> Plot:
    """One figure against the compression ratio, for each mode; `more` series beside them."""
    series = (*curve(pages, index), *more)
    return Plot(title, "text tokens for each vision token", label, series, bottom=0.0, top=1.0)


def plot_over_tokens(title: str, pages: Sequence[PageFigures], index: int, label: str) -> Plot:
    """One figure against the number of text tokens, for each mode: a point for each step."""
    series = _curve(pages, index, lambda page: page.text_tokens)
    return Plot(title, "text tokens", label, series, bottom=0.0, top=1.0)


def bars(title: str, pages: Sequence[PageFigures], index: int, label: str) -> Plot:
    """One figure for each kind of page, the modes side by side."""
    kinds = sorted({page.kind for page in pages if page.values[index] is not None})
    series = tuple(Series(mode, tuple(_points(mode, pages, index, kinds))) for mode in _modes(pages))
    return Plot(title, "", label, series, bottom=0.0, top=1.0, groups=tuple(kinds))


def _points(mode: str, pages: Sequence[PageFigures], index: int, kinds: Sequence[str]) -> Iterator[Point]:
    for place, kind in enumerate(kinds):
        own = [page.values[index] for page in pages if (page.mode, page.kind) == (mode, kind)]
        estimate = mean([value for value in own if value is not None])
        if estimate:
            yield Point(place, estimate.value, estimate.low, estimate.high)


def _curve(
    pages: Sequence[PageFigures], index: int, across: Callable[[PageFigures], float | None]
) -> tuple[Series, ...]:
    return tuple(series for mode in _modes(pages) if (series := _series(mode, pages, index, across)).points)


def _series(
    mode: str, pages: Sequence[PageFigures], index: int, across: Callable[[PageFigures], float | None]
) -> Series:
    shown = [
        page for page in pages if page.mode == mode and across(page) is not None and page.values[index] is not None
    ]
    points = []
    for _, group in itertools.groupby(sorted(shown, key=lambda page: page.text_tokens), key=lambda page: page.bin):
        own = list(group)
        estimate = mean([page.values[index] or 0.0 for page in own])
        assert estimate is not None  # no group is empty
        place = statistics.mean(across(page) or 0.0 for page in own)
        points.append(Point(place, estimate.value, estimate.low, estimate.high))
    return Series(mode, tuple(points))


def _modes(pages: Sequence[PageFigures]) -> list[str]:
    return list(dict.fromkeys(page.mode for page in pages))


def grouped(
    title: str,
    columns: tuple[Column, ...],
    pages: Sequence[PageFigures],
    figures: Sequence[Figure],
    key: Callable[[PageFigures], tuple[str, ...]],
    note: str = "",
) -> Table:
    """One row for each key, as the pages come: how many pages, their tokens, and the mean of each figure."""
    groups: dict[tuple[str, ...], list[PageFigures]] = {}
    for page in pages:
        groups.setdefault(key(page), []).append(page)
    counts = Column("pages"), Column("text tokens, mean", ".0f")
    heads = *columns, *counts, Column("vision tokens, mean", ".0f"), Column("ratio", ".1f")
    measured = (Column(figure.name, figure.form) for figure in figures)
    rows = tuple((*named, *_row(own, len(figures))) for named, own in groups.items())
    return Table(title, (*heads, *measured), rows, note)


def _row(pages: Sequence[PageFigures], count: int) -> tuple[Cell, ...]:
    seen = [page.vision_tokens for page in pages if page.vision_tokens]
    ratios = [page.ratio for page in pages if page.ratio is not None]
    values = ([page.values[index] for page in pages] for index in range(count))
    return (
        len(pages),
        statistics.mean(page.text_tokens for page in pages),
        statistics.mean(seen) if seen else None,
        statistics.mean(ratios) if ratios else None,
        *(mean([value for value in column if value is not None]) for column in values),
    )
