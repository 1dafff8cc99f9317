"""Tells an empty page from one with anything on it, so that nobody waits for a network to read nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops

_SIDE = 1200  # pixels that the longer side is looked at with: four in a millimetre of A4
_BLOCK = 16  # pixels; the paper's own shade is the middle one of so many by so many
_EDGE = 0.06  # of a side; the shadow that a scanner adds along an edge is no wider
_LIKE = 1.0  # shades of 255 that paper in the light may differ by
_GRAIN = 4.0  # standard deviations of the paper's grain; ink stands out by more ...
_FAINTEST = 6.0  # ... and by more than so many shades ...
_ROUGHEST = 40.0  # ... but need not stand out by more than so many
_REACH = 2  # pixels between two parts of one mark
_SPECK = 5  # pixels; dust is smaller each way, and the smallest print is not
_SPECKS = 4  # marks of some pixels that may all be dust
_GRAINS = 250  # marks of single pixels that may all be grain
_MUCH = 2000  # pixels; more ink is no dust, however it lies

_Floats = npt.NDArray[np.float32]


def is_blank(image: Image.Image) -> bool:
    """Whether a page is empty: paper of any shade and grain, shadows along its edges, specks of dust and no more.

    A page number or one thin line is enough for a no. In doubt the answer is no, too.
    """
    contrast = _lighten_edges(_shrink(image))
    for plane in contrast:
        plane -= _paper(plane)
    # What is too thin or faint to stand out from the grain of single pixels does so where a few are taken together.
    return _is_dust(contrast, _SPECK) and _is_dust(_take_together(contrast), _SPECK - 2)


def _shrink(image: Image.Image) -> _Floats:
    """The lightest and the darkest of the three colours: [2, height, width]; ink of any colour changes one of them."""
    # A long strip keeps what its short side needs.
    factor = max(1, min(round(max(image.size) / _SIDE), min(image.size) // _BLOCK))
    red, green, blue = image.convert("RGB").reduce(factor).split()
    lightest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    darkest = ImageChops.darker(ImageChops.darker(red, green), blue)
    return np.stack([np.asarray(lightest, np.float32), np.asarray(darkest, np.float32)])


def _lighten_edges(planes: _Floats) -> _Floats:
    """Without shadows: the lines from an edge inwards, as far as each is darker or lighter than paper as a whole."""
    for plane in planes:
        for lines in (plane, plane[::-1], plane.T, plane.T[::-1]):
            outer = int(len(lines) * _EDGE)
            shades = np.median(lines[: outer + _BLOCK, ::4], axis=1)
            shadow = shades - np.median(shades[outer:])
            width = int(np.argmax(np.abs(shadow) < _LIKE))
            lines[:width] -= shadow[:width, None]
    return planes


def _paper(plane: _Floats) -> _Floats:
    """The paper's shade at each pixel: the middle shade of each block, and slopes between those."""
    height, width = plane.shape
    rows, columns = -(-height // _BLOCK), -(-width // _BLOCK)
    padded = np.pad(plane, ((0, rows * _BLOCK - height), (0, columns * _BLOCK - width)), mode="edge")
    blocks = padded.reshape(rows, _BLOCK, columns, _BLOCK)[:, ::2, :, ::2]
    shades = np.median(blocks, axis=(1, 3)).astype(np.float32)
    # Mirrored in its last value: light that fades towards an edge fades on, and does not end in a step.
    around = (
        np.pad(shades, 1, mode="reflect", reflect_type="odd") if min(shades.shape) > 1 else np.pad(shades, 1, "edge")
    )
    size = ((columns + 2) * _BLOCK, (rows + 2) * _BLOCK)
    smooth = np.asarray(Image.fromarray(around).resize(size, Image.Resampling.BILINEAR))
    return smooth[_BLOCK : _BLOCK + height, _BLOCK : _BLOCK + width]


def _take_together(contrast: _Floats) -> _Floats:
    """The means of three by three pixels."""
    planes, height, width = contrast.shape
    whole = contrast[:, : height - height % 3, : width - width % 3]
    means: _Floats = whole.reshape(planes, height // 3, 3, width // 3, 3).mean(axis=(2, 4))
    return means


def _is_dust(contrast: _Floats, speck: int) -> bool:
    """Whether all that stands out from the paper's grain is small, and little."""
    grain = 1.4826 * np.median(np.abs(contrast[:, ::4, ::4]), axis=(1, 2))  # as standard deviations
    limit = np.clip(_GRAIN * grain, _FAINTEST, _ROUGHEST)[:, None, None]
    outside = (contrast > limit) | (contrast < -limit)
    ink = outside[0] | outside[1]
    if np.count_nonzero(ink) > _MUCH:
        return False
    sizes = [int(np.ptp(mark, axis=0).max()) for mark in _marks(ink)]
    return max(sizes, default=0) < speck and sum(size > 1 for size in sizes) <= _SPECKS and len(sizes) <= _GRAINS


def _marks(ink: npt.NDArray[np.bool_]) -> Iterator[list[tuple[int, int]]]:
    """The pixels of ink, those that lie near each other together."""
    reach = range(-_REACH, _REACH + 1)
    left = {(int(y), int(x)) for y, x in np.argwhere(ink)}
    while left:
        mark = [left.pop()]
        for y, x in mark:  # It grows while it is walked along.
            near = {(y + down, x + right) for down in reach for right in reach} & left
            left -= near
            mark += near
        yield mark
