"""Guesses from the lines on a page whether it lies on its side, and chooses the turn that makes it easiest to read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image

_SIDE = 1000  # pixels that the longer side is looked at with
_STRIP = 128  # pixels; a crooked line is nearly straight within so few
_WAVE = 100  # pixels; shades that change more slowly are light and shadow, not lines of print
_SURE = 1.5  # times as much change along the page as down it
# A page is turned only for a reader's mean logarithm of probability that is as high as this, and so much higher than
# without. What nano read upright had -0.22 to -0.03, what it made of any other way -0.35 and less.
_READABLE, _CLEARLY = -0.3, 0.2
TURNS = (0, 90, 180, 270)  # degrees, clockwise


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
    height, width = shades.shape
    strip = min(_STRIP, width)
    strips = shades[:, : width - width % strip].reshape(height, -1, strip).mean(axis=2)  # [height, strips]
    wave = min(_WAVE, height)
    sums = np.cumsum(np.pad(strips, ((1, 0), (0, 0))), axis=0, dtype=np.float64)
    means = (sums[wave:] - sums[:-wave]) / wave  # of the rows from each one on
    middle = strips[wave // 2 :][: len(means)]
    return float(np.square(middle - means[: len(middle)]).mean())
