"""Guesses from the lines on a page whether it lies on its side or stands on its head, and chooses how to turn it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image

_SIDE = 1000  # pixels that the longer side is looked at with
_STRIP = 128  # pixels; a crooked line is nearly straight within so few
_WAVE = 100  # pixels; shades that change more slowly are light and shadow, not lines of print
_SURE = 1.5  # times as much change along the page as down it
_CLOSE_SIDE, _CLOSE_STRIP = 1400, 96  # pixels, to see what letters have above their line and below it
_LINES = range(6, 121)  # pixels from the top of a line's ink to its bottom
_FAINT = 1.0  # of 255: less is no ink
_TAILS = 0.04  # of a line's ink, at least: capitals and figures have hardly any
_HANGS = 1.1  # times as much of it below as above
# A page is turned only for a reader's mean logarithm of probability that is as high as this, and so much higher than
# without. What nano read upright had -0.22 to -0.03, what it made of any other way -0.35 and less.
_READABLE, _CLEARLY = -0.3, 0.2
TURNS = (0, 90, 180, 270)  # degrees, clockwise


def looks_turned(image: Image.Image) -> bool:
    """Whether the lines of print run up or down, or stand on their heads; a hint, worth asking a reader."""
    return looks_sideways(image) or looks_upside_down(image)


def looks_upside_down(image: Image.Image) -> bool:
    """Whether letters reach further down from their lines than up; a hint, for Latin, Greek and Cyrillic print.

    Of b, d, l and capitals something stands above the small letters, and that is more than hangs down from g, p and y:
    in running text two to five times as much. False for lines of capitals or figures alone, which have neither.
    """
    factor = max(1, round(max(image.size) / _CLOSE_SIDE))
    shades = np.asarray(image.convert("L").reduce(factor), dtype=np.float32)
    above = below = inside = 0.0
    ink = _strips((np.median(shades) - shades).clip(0), _CLOSE_STRIP)
    for column in (ink - np.quantile(ink, 0.1, axis=0)).T:  # less the grain of the paper
        edges = np.flatnonzero(np.diff(column > _FAINT, prepend=False, append=False))
        for top, bottom in zip(edges[::2], edges[1::2], strict=True):
            if bottom - top not in _LINES:
                continue
            line = column[top:bottom]
            small = np.flatnonzero(line > np.quantile(line, 0.75) / 2)  # rows that small letters take
            above += float(line[: small[0]].sum())
            below += float(line[small[-1] + 1 :].sum())
            inside += float(line[small[0] : small[-1] + 1].sum())
    return below > _HANGS * above and above + below > _TAILS * inside


def looks_sideways(image: Image.Image) -> bool:
    """Whether the lines of print run up or down; a hint, which a table full of upright rules can mislead.

    Print makes stripes: dark where there is a line, light between two. So the shades of a page that lies on its side
    change more from column to column than from row to row. False for pages with nothing that could tell.
    """
    factor = max(1, round(max(image.size) / _SIDE))
    shades = np.asarray(image.convert("L").reduce(factor), dtype=np.float32)
    return _change(shades.T) > _SURE * _change(shades)


def choose_turn(sureness: Mapping[int, float]) -> int:
    """By how many degrees to turn a page, from how sure a reader was of its first words for each of TURNS.

    sureness: the mean of the logarithms of probabilities. A page stays as it is unless another way is clearly better.
    """
    best = max(sureness, key=lambda turn: sureness[turn])
    return best if sureness[best] > max(_READABLE, sureness[0] + _CLEARLY) else 0


def _change(shades: npt.NDArray[np.float32]) -> float:
    """How much the means of rows differ from those near them, over upright strips of the page."""
    strips = _strips(shades, _STRIP)
    wave = min(_WAVE, len(strips))
    sums = np.cumsum(np.pad(strips, ((1, 0), (0, 0))), axis=0, dtype=np.float64)
    means = (sums[wave:] - sums[:-wave]) / wave  # of the rows from each one on
    middle = strips[wave // 2 :][: len(means)]
    return float(np.square(middle - means[: len(middle)]).mean())


def _strips(shades: npt.NDArray[np.float32], strip: int) -> npt.NDArray[np.float32]:
    """The mean of each row in upright strips of so many pixels: [height, strips]."""
    height, width = shades.shape
    strip = min(strip, width)
    means: npt.NDArray[np.float32] = shades[:, : width - width % strip].reshape(height, -1, strip).mean(axis=2)
    return means
