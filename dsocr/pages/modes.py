"""The six ways to look at a page, from one small squashed view to a large overview with close-up tiles."""

from __future__ import annotations

from dataclasses import dataclass

from dsocr.errors import InputError


@dataclass(frozen=True)
class Mode:
    """How a page becomes views; sides in pixels, max_tiles = 0 for a page seen only as a whole.

    A page with both sides within tile_px gets no tiles either. Where a mode has none, tile_px is only the
    width of the empty stack, so that it joins the stacks of other pages.
    """

    name: str
    overview_px: int
    tile_px: int
    min_tiles: int
    max_tiles: int
    squash: bool


# Squashing spends every token on the page; the two small modes have none to waste on padding.
_TABLE = (
    Mode("tiny", overview_px=512, tile_px=640, min_tiles=0, max_tiles=0, squash=True),
    Mode("small", overview_px=640, tile_px=640, min_tiles=0, max_tiles=0, squash=True),
    Mode("base", overview_px=1024, tile_px=640, min_tiles=0, max_tiles=0, squash=False),
    Mode("large", overview_px=1280, tile_px=640, min_tiles=0, max_tiles=0, squash=False),
    Mode("gundam", overview_px=1024, tile_px=640, min_tiles=2, max_tiles=9, squash=False),
    Mode("gundam-m", overview_px=1280, tile_px=1024, min_tiles=2, max_tiles=9, squash=False),
)
MODES: dict[str, Mode] = {mode.name: mode for mode in _TABLE}


def get_mode(name: str) -> Mode:
    """The mode of that name; InputError lists the known ones."""
    if name not in MODES:
        raise InputError(f"mode {name!r} is unknown; known: {', '.join(MODES)}")
    return MODES[name]
