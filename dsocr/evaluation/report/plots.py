"""Curves and bars drawn as SVG that stands alone: figures over figures, with intervals, by day and by night."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 680, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 44, 52
_KEY = 18  # pixels for a line of the key
# Told apart by the colour-blind, and on white as on black.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7f7f7f")
_GROUP = 0.8  # of the way from one group of bars to the next
_NAME = 15  # characters of a group's name
_TICKS = 6  # about how many on an axis


@dataclass(frozen=True)
class Point:
    """One figure over another; low and high where its interval is known."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """Points that belong together; published ones are drawn hollow and dashed."""

    name: str
    points: tuple[Point, ...]
    published: bool = False


@dataclass(frozen=True)
class Plot:
    """A drawing: what lies along each axis, and the series; bottom and top of the upright one may be given.

    groups: names along the axis in place of figures; then a point is a bar, and its x the place of its group, from 0.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    bottom: float | None = None
    top: float | None = None
    groups: tuple[str, ...] = ()

    @property
    def shows(self) -> bool:
        """Whether there is anything in it but what was published."""
        return any(series.points for series in self.series if not series.published)


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)


def draw(plot: Plot) -> str:
    """The plot as one <svg>; nothing is fetched and nothing runs. A plot without points says so."""
    height = HEIGHT + _KEY * _key_rows(plot.series)
    points = [point for series in plot.series for point in series.points]
    parts = [f'<text x="{WIDTH / 2}" y="20" text-anchor="middle" class="t">{escape(plot.title)}</text>']
    if points:
        across, upright = _axes(plot, points)
        drawn = _bars if plot.groups else _curves
        parts += [*_grid(across, upright, plot), *drawn(plot.series, across, upright), *_key(plot.series)]
    else:
        parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">there is nothing to show</text>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(plot.title)}" fill="currentColor" font-family="sans-serif" font-size="12">\n'
        f"<style>.t {{ font-size: 15px; font-weight: 600; }}</style>\n{body}\n</svg>"
    )


def ticks(low: float, high: float) -> list[float]:
    """Round numbers from low to high, about six."""
    step = _round_step((high - low) / _TICKS)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _round_step(rough: float) -> float:
    size: float = 10.0 ** math.floor(math.log10(rough))
    return next(factor * size for factor in (1.0, 2.0, 5.0, 10.0) if factor * size >= rough * (1 - 1e-9))


def _axes(plot: Plot, points: Sequence[Point]) -> tuple[_Axis, _Axis]:
    heights = [value for point in points for value in (point.y, point.low, point.high) if value is not None]
    low = min(heights) if plot.bottom is None else plot.bottom
    high = max(heights) if plot.top is None else plot.top
    if plot.groups:
        across = -0.5, len(plot.groups) - 0.5
    else:
        across = _widened(min(0.0, *(point.x for point in points)), max(point.x for point in points))
    return _Axis(*across, _LEFT, WIDTH - _RIGHT), _Axis(*_widened(low, high), HEIGHT - _BOTTOM, _TOP)


def _widened(low: float, high: float) -> tuple[float, float]:
    """Out to the next round numbers."""
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    step = _round_step((high - low) / _TICKS)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def _grid(across: _Axis, upright: _Axis, plot: Plot) -> Iterator[str]:
    yield from _names(plot.groups, across, upright) if plot.groups else _figures(plot.x_label, across, upright)
    for value in ticks(upright.low, upright.high):
        y = upright.place(value)
        yield _line(across.start, y, across.end, y, 'stroke="currentColor" stroke-opacity="0.12"')
        yield f'<text x="{across.start - 8}" y="{y + 4:.1f}" text-anchor="end">{_short(value)}</text>'
    centre = (upright.start + upright.end) / 2
    yield (
        f'<text x="16" y="{centre}" text-anchor="middle" transform="rotate(-90 16 {centre})">'
        f"{escape(plot.y_label)}</text>"
    )


def _figures(label: str, across: _Axis, upright: _Axis) -> Iterator[str]:
    for value in ticks(across.low, across.high):
        x = across.place(value)
        yield _line(x, upright.start, x, upright.end, 'stroke="currentColor" stroke-opacity="0.12"')
        yield f'<text x="{x:.1f}" y="{upright.start + 18}" text-anchor="middle">{value:g}</text>'
    middle = (across.start + across.end) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 14}" text-anchor="middle">{escape(label)}</text>'


def _names(groups: Sequence[str], across: _Axis, upright: _Axis) -> Iterator[str]:
    """Below the bars, aslant, so that long ones have room."""
    for place, name in enumerate(groups):
        x, y = across.place(place) + 6, upright.start + 14
        shown = name if len(name) <= _NAME else name[: _NAME - 1] + "…"
        where = f'x="{x:.1f}" y="{y}" transform="rotate(-24 {x:.1f} {y})"'
        yield f'<text {where} text-anchor="end" font-size="11">{escape(shown)}</text>'


def _short(value: float) -> str:
    return f"{round(value, 9):g}"


def _curves(series: Sequence[Series], across: _Axis, upright: _Axis) -> Iterator[str]:
    for index, each in enumerate(series):
        colour = _COLOURS[index % len(_COLOURS)]
        points = sorted(each.points, key=lambda point: point.x)
        path = " ".join(f"{across.place(point.x):.1f},{upright.place(point.y):.1f}" for point in points)
        dashes = ' stroke-dasharray="5 4"' if each.published else ""
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
        for point in points:
            yield from _mark(point, each, colour, across, upright)


def _bars(series: Sequence[Series], across: _Axis, upright: _Axis) -> Iterator[str]:
    """The bars of one group side by side, in the order of the series, with their intervals."""
    wide = _GROUP * (across.place(1) - across.place(0)) / len(series)
    for index, each in enumerate(series):
        for point in each.points:
            left, top = across.place(point.x) + (index - len(series) / 2) * wide, upright.place(point.y)
            told = f"<title>{escape(f'{each.name}: {point.y:.4g}')}</title>"
            size = f'width="{wide:.1f}" height="{upright.start - top:.1f}"'
            fill = f'fill="{_COLOURS[index % len(_COLOURS)]}" fill-opacity="0.75"'
            yield f'<rect x="{left:.1f}" y="{top:.1f}" {size} {fill}>{told}</rect>'
            if point.low is not None and point.high is not None:
                middle = left + wide / 2
                yield _line(
                    middle, upright.place(point.low), middle, upright.place(point.high), 'stroke="currentColor"'
                )


def _mark(point: Point, series: Series, colour: str, across: _Axis, upright: _Axis) -> Iterator[str]:
    x, y = across.place(point.x), upright.place(point.y)
    if point.low is not None and point.high is not None:
        yield _line(
            x, upright.place(point.low), x, upright.place(point.high), f'stroke="{colour}" stroke-opacity="0.6"'
        )
    fill = "none" if series.published else colour
    told = f"<title>{escape(f'{series.name}: {point.x:.4g}, {point.y:.4g}')}</title>"
    style = f'fill="{fill}" stroke="{colour}" stroke-width="1.5"'
    yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" {style}>{told}</circle>'


def _key_rows(series: Sequence[Series]) -> int:
    return (len(series) + 1) // 2


def _key(series: Sequence[Series]) -> Iterator[str]:
    for index, each in enumerate(series):
        x, y = _LEFT + (index % 2) * (WIDTH - _LEFT) // 2, HEIGHT + (index // 2) * _KEY
        colour = _COLOURS[index % len(_COLOURS)]
        dashes = ' stroke-dasharray="5 4"' if each.published else ""
        yield _line(x, y, x + 26, y, f'stroke="{colour}" stroke-width="2"{dashes}')
        yield f'<text x="{x + 32}" y="{y + 4}">{escape(each.name)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {style}/>'
