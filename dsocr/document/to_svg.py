"""A plane figure as SVG: its lines, circles and named points, in the colour of the text around it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape

from dsocr.document.blocks import Document
from dsocr.document.files import OutputFile, text_file
from dsocr.document.geometry import Circle, Geometry, Line, NamedPoint, Point, read_geometry
from dsocr.document.plain_text import printable

_SIDE, _MARGIN = 400, 40  # of the picture
_LEAST = 1e-12  # units of a figure: what is smaller than this in all is a point
_DOT, _LETTER = 2.5, 14  # radius and height
_NAME_LENGTH = 20  # characters: a name is a letter or two
_DASHES = {"--": "8 5", ":": "2 5", "..": "2 5", "-.": "8 4 2 4"}


def to_svg(figure: Geometry) -> str:
    """The figure as one <svg> element that needs nothing from outside, y upwards, scaled to a square.

    A line of the style -- is dashed and one of : is dotted, as their signs look.
    """
    drawn = "".join(_draw(figure, _View.of(figure)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIDE} {_SIDE}" width="{_SIDE}" height="{_SIDE}" '
        f'role="img" fill="none" stroke="currentColor" stroke-width="1.5">{drawn}</svg>'
    )


def svg_files(document: Document, name: str) -> Iterator[OutputFile]:
    """NAME_figure_PAGE.svg for a figure that is all of a block's text; others of the page have a number behind that."""
    for page in document.transcripts:
        figures = filter(None, (read_geometry(block.text) for block in page.blocks))
        for number, figure in enumerate(figures, start=1):
            again = f"_{number}" if number > 1 else ""
            yield text_file(f"{name}_figure_{page.page}{again}.svg", to_svg(figure))


@dataclass(frozen=True)
class _View:
    """From the figure's units to the picture's."""

    left: float
    top: float
    scale: float

    @classmethod
    def of(cls, figure: Geometry) -> _View:
        points = list(_extent(figure)) or [Point(0, 0)]
        left, right = min(point.x for point in points), max(point.x for point in points)
        bottom, top = min(point.y for point in points), max(point.y for point in points)
        longest = max(right - left, top - bottom)
        longest = longest if longest > _LEAST else 1.0
        spare_x, spare_y = (longest - (right - left)) / 2, (longest - (top - bottom)) / 2
        return cls(left - spare_x, top + spare_y, (_SIDE - 2 * _MARGIN) / longest)

    def x(self, point: Point) -> str:
        return _number(_MARGIN + (point.x - self.left) * self.scale)

    def y(self, point: Point) -> str:
        return _number(_MARGIN + (self.top - point.y) * self.scale)


def _extent(figure: Geometry) -> Iterator[Point]:
    for line in figure.lines:
        yield from (line.start, line.end)
    yield from (named.point for named in figure.points)
    for circle in figure.circles:
        centre, radius = circle.centre.point, abs(circle.radius)
        yield from (Point(centre.x - radius, centre.y - radius), Point(centre.x + radius, centre.y + radius))


def _draw(figure: Geometry, view: _View) -> Iterator[str]:
    yield from (_draw_line(line, view) for line in figure.lines)
    yield from (_draw_circle(circle, view) for circle in figure.circles)
    named: Iterable[NamedPoint] = (*figure.points, *(circle.centre for circle in figure.circles))
    yield from (_draw_point(point, view) for point in dict.fromkeys(named))


def _draw_line(line: Line, view: _View) -> str:
    ends = f'x1="{view.x(line.start)}" y1="{view.y(line.start)}" x2="{view.x(line.end)}" y2="{view.y(line.end)}"'
    dashes = _DASHES.get(line.style.strip())
    return f'<line {ends} stroke-dasharray="{dashes}"/>' if dashes else f"<line {ends}/>"


def _draw_circle(circle: Circle, view: _View) -> str:
    centre, radius = circle.centre.point, _number(abs(circle.radius) * view.scale)
    return f'<circle cx="{view.x(centre)}" cy="{view.y(centre)}" r="{radius}"/>'


def _draw_point(named: NamedPoint, view: _View) -> str:
    x, y = view.x(named.point), view.y(named.point)
    name = escape(printable(named.name[:_NAME_LENGTH]))
    return (
        f'<g fill="currentColor" stroke="none" font-family="serif" font-size="{_LETTER}">'
        f'<circle cx="{x}" cy="{y}" r="{_DOT}"/><text x="{x}" y="{y}" dx="6" dy="-6">{name}</text></g>'
    )


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
