"""Draws what a run has logged: its losses and the character errors on kept pages, as a PNG."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT, _MARGIN = 900, 320, 56  # pixels of a panel; the margin is for its numbers
_COLOURS = ("#1f6fb4", "#d1662a")
_POINTS = 400  # a line is drawn from so many means, or it would be noise


@dataclass(frozen=True)
class Curve:
    """One line: its name, and (step of the whole run, value) from left to right."""

    name: str
    points: Sequence[tuple[float, float]]


def draw_curves(log: Path, picture: Path) -> None:
    """log.jsonl → a PNG with a panel for each of loss, right next tokens and held-out CER; nothing without any."""
    curves = [curve for curve in read_curves(log) if curve.points]
    if not curves:
        return
    sheet = Image.new("RGB", (_WIDTH, _HEIGHT * len(curves)), "white")
    last = max(point[0] for curve in curves for point in curve.points)
    for index, curve in enumerate(curves):
        _draw_panel(ImageDraw.Draw(sheet), curve, index, last)
    sheet.save(picture.with_suffix(".new"), "PNG", optimize=True)
    picture.with_suffix(".new").replace(picture)


def read_curves(log: Path) -> list[Curve]:
    """The curves of a log; steps are counted on from stage to stage."""
    if not log.exists():
        return []
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    ends: dict[int, int] = {}
    for entry in entries:
        ends[entry["stage"]] = max(entry["step"], ends.get(entry["stage"], 0))
    before = {stage: sum(end for other, end in ends.items() if other < stage) for stage in ends}
    names = ("loss", "right", "held-out CER")
    return [
        Curve(name, [(before[entry["stage"]] + entry["step"], entry[name]) for entry in entries if name in entry])
        for name in names
    ]


def _draw_panel(pen: ImageDraw.ImageDraw, curve: Curve, index: int, last: float) -> None:
    """One curve in its frame, with the least and the most of both axes in numbers."""
    top, font = index * _HEIGHT, ImageFont.load_default(14)
    left, right, upper, lower = _MARGIN, _WIDTH - 16, top + 28, top + _HEIGHT - 28
    points = _thinned([point for point in curve.points if math.isfinite(point[1])])
    values = [value for _, value in points] or [0.0]
    least, most = min(0.0, *values), max(values)
    span = (most - least) or 1.0

    def at(step: float, value: float) -> tuple[float, float]:
        return left + (right - left) * step / max(last, 1), lower - (lower - upper) * (value - least) / span

    pen.rectangle((left, upper, right, lower), outline="#bbbbbb")
    pen.text((left, top + 6), curve.name, fill="black", font=font)
    pen.text((left - 6, upper), f"{most:.3g}", fill="black", font=font, anchor="rt")
    pen.text((left - 6, lower), f"{least:.3g}", fill="black", font=font, anchor="rb")
    pen.text((right, lower + 4), f"step {last:.0f}", fill="black", font=font, anchor="rt")
    pen.text((right, top + 6), f"now {values[-1]:.3g}", fill="black", font=font, anchor="rt")
    places = [at(*point) for point in points]
    colour = _COLOURS[index % len(_COLOURS)]
    pen.line(places, fill=colour, width=2)
    for x, y in places if len(places) <= 40 else ():
        pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most _POINTS points, each the mean of its neighbours."""
    size = -(-len(points) // _POINTS) or 1
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]
