"""Chooses the tile grid of a page and makes its views, pixel for pixel as the checkpoint was trained."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from dsocr.pages.modes import Mode
from dsocr.views import PIXELS_PER_TOKEN, Views, VisionLayout

PADDING_COLOUR = (127, 127, 127)

# published quirk: pixels are rounded to bfloat16 before any network sees them, whatever its weights are.
# All 256 levels stay distinct, but a network in float32 reads slightly other values.
_LEVELS = ((torch.arange(256, dtype=torch.uint8) / 255 - 0.5) / 0.5).to(torch.bfloat16).view(torch.int16).numpy()


def make_views(image: Image.Image, mode: Mode) -> Views:
    """An RGB page as overview [3, s, s] and tiles [n, 3, t, t], bfloat16 in -1..1; no tiles is n = 0."""
    image = image.convert("RGB")
    columns, rows = choose_grid(*image.size, mode)
    side = mode.overview_px
    overview = image.resize((side, side)) if mode.squash else _pad(image, side)
    return Views(_to_tensor(overview), _cut(image, columns, rows, mode.tile_px), rows, columns)


def choose_grid(width: int, height: int, mode: Mode) -> tuple[int, int]:
    """(columns, rows) of the grid nearest the page's own ratio, or (0, 0) for a page that needs no tiles."""
    chosen, smallest = (0, 0), float("inf")
    if max(width, height) <= mode.tile_px:
        return chosen
    for columns, rows in _grids(mode):
        difference = abs(width / height - columns / rows)
        # Of two grids equally near, the larger one needs a page with pixels for more than half of it.
        detailed = width * height > 0.5 * mode.tile_px**2 * columns * rows
        if difference < smallest or (difference == smallest and detailed):
            chosen, smallest = (columns, rows), difference
    return chosen


def choose_layout(width: int, height: int, mode: Mode) -> VisionLayout:
    """How the tokens of a page of that many pixels will lie, known without its picture."""
    columns, rows = choose_grid(width, height, mode)
    return VisionLayout(mode.overview_px // PIXELS_PER_TOKEN, mode.tile_px // PIXELS_PER_TOKEN, rows, columns)


def _grids(mode: Mode) -> list[tuple[int, int]]:
    sides = range(1, mode.max_tiles + 1)
    grids = [(columns, rows) for columns in sides for rows in sides]
    allowed = [grid for grid in grids if mode.min_tiles <= grid[0] * grid[1] <= mode.max_tiles]
    return sorted(allowed, key=lambda grid: grid[0] * grid[1])


def _pad(image: Image.Image, side: int) -> Image.Image:
    """The whole page, ratio kept, in the middle of a grey square."""
    width, height = image.size
    if 2 * side * min(width, height) <= max(width, height):
        # So long a strip would be rounded away to nothing; it keeps one pixel.
        image = image.resize((side, 1) if width > height else (1, side))
    return ImageOps.pad(image, (side, side), color=PADDING_COLOUR)


def _cut(image: Image.Image, columns: int, rows: int, side: int) -> Tensor:
    """The page squashed to the grid (ratio not kept, no padding), cut into [rows · columns, 3, side, side]."""
    if not rows * columns:
        return torch.zeros(0, 3, side, side, dtype=torch.bfloat16)
    sheet = _to_tensor(image.resize((columns * side, rows * side)))  # [3, rows · side, columns · side]
    tiles = sheet.reshape(3, rows, side, columns, side).permute(1, 3, 0, 2, 4)
    return tiles.reshape(rows * columns, 3, side, side)


def _to_tensor(image: Image.Image) -> Tensor:
    """RGB pixels 0..255 as bfloat16 -1..1, [3, height, width]."""
    pixels = np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
    return torch.from_numpy(_LEVELS[pixels]).view(torch.bfloat16)
