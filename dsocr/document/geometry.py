"""A drawn figure as the model describes it: lines, named points and circles, scanned from its dictionary."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

_DEEPEST = 3  # a list in a dictionary in a dictionary
_DEPTH = {"{": 1, "[": 1, "}": -1, "]": -1}
_SOLID = "-"  # the style of a line that has none of its own

_NUMBER = r"-?[0-9]{1,9}(?:\.[0-9]{1,9})?"
_TOKEN = re.compile(rf"""\s*(?:([\[\]{{}},:]|{_NUMBER})|'([^'\\\n]*)'|"([^"\\\n]*)")""")
_POINT = rf"\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)"
_LINE = re.compile(rf"\s*{_POINT}\s*--\s*{_POINT}\s*")
_NAMED_POINT = re.compile(rf"([^:]*):\s*{_POINT}\s*")


@dataclass(frozen=True)
class Point:
    """A place in the figure's own units, y upwards; the published script draws -15..15."""

    x: float
    y: float


@dataclass(frozen=True)
class NamedPoint:
    """A point with its letter."""

    name: str
    point: Point


@dataclass(frozen=True)
class Line:
    """A straight line between two points; style is the model's own sign for it, such as - or --."""

    start: Point
    end: Point
    style: str


@dataclass(frozen=True)
class Circle:
    """A circle about a named point."""

    centre: NamedPoint
    radius: float


@dataclass(frozen=True)
class Geometry:
    """Everything in one figure."""

    lines: tuple[Line, ...]
    points: tuple[NamedPoint, ...]
    circles: tuple[Circle, ...]


def read_geometry(text: str) -> Geometry | None:
    """The figure in a text that is one whole `Line`/`Circle` dictionary, else None; nothing is evaluated."""
    try:
        figure = json.loads(_as_json(text.strip()))
        if not isinstance(figure, dict) or not figure.keys() & {"Line", "Circle"}:
            return None
        lines, circles = figure.get("Line", {}), figure.get("Circle", {})
        return Geometry(_lines(lines), _named_points(_texts(lines, "line_endpoint")), _circles(circles))
    except (_NotGeometry, json.JSONDecodeError):
        return None


class _NotGeometry(Exception):
    """The text says something else."""


def _as_json(text: str) -> str:
    """The same tokens with JSON's quotes: only brackets, commas, colons, plain numbers and plain strings pass."""
    words, place, depth = [], 0, 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        depth += _DEPTH.get(token[1], 0) if token else 0
        if token is None or depth > _DEEPEST:
            raise _NotGeometry
        words.append(token[1] or json.dumps(token[2] if token[2] is not None else token[3]))
        place = token.end()
    return " ".join(words)


def _lines(group: Any) -> tuple[Line, ...]:
    segments, styles = _texts(group, "line"), _texts(group, "line_type")
    if len(styles) > len(segments):
        raise _NotGeometry
    return tuple(_line(segment, style) for segment, style in zip_longest(segments, styles, fillvalue=_SOLID))


def _line(segment: str, style: str) -> Line:
    match = _matched(_LINE, segment)
    return Line(_point(match[1], match[2]), _point(match[3], match[4]), style)


def _circles(group: Any) -> tuple[Circle, ...]:
    centres, radii = _named_points(_texts(group, "circle_center")), _list(group, "radius")
    if len(centres) != len(radii) or not all(isinstance(radius, int | float) for radius in radii):
        raise _NotGeometry
    return tuple(map(Circle, centres, radii))


def _named_points(texts: list[str]) -> tuple[NamedPoint, ...]:
    matches = [_matched(_NAMED_POINT, text) for text in texts]
    return tuple(NamedPoint(match[1].strip(), _point(match[2], match[3])) for match in matches)


def _point(x: str, y: str) -> Point:
    return Point(float(x), float(y))


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise _NotGeometry
    return match


def _texts(group: Any, key: str) -> list[str]:
    texts = _list(group, key)
    if not all(isinstance(text, str) for text in texts):
        raise _NotGeometry
    return texts


def _list(group: Any, key: str) -> list[Any]:
    values = group.get(key, []) if isinstance(group, dict) else None
    if not isinstance(values, list):
        raise _NotGeometry
    return values
