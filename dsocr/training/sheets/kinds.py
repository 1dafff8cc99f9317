"""The kinds of whole drawn pages."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One sort of pages: the mode they are looked at in, the places of a row of the batch, and what is printed.

    width, height: their ranges in pixels; ratio: of height to width where the height follows from it; grids: tiles
    across and down, one grid for a batch.
    """

    mode: str
    places: int
    width: tuple[int, int]
    height: tuple[int, int]
    characters: tuple[int, int]
    grids: tuple[tuple[int, int], ...] = ((0, 0),)


KINDS: Mapping[str, Kind] = {
    "tiny": Kind("tiny", 576, (300, 640), (200, 640), (40, 330)),
    "small": Kind("small", 768, (380, 700), (200, 700), (60, 520)),
    "notes": Kind("base", 768, (380, 700), (200, 700), (60, 420)),
    "letters": Kind("base", 1536, (860, 1120), (860, 1120), (400, 1130)),
    "sheets": Kind("gundam", 3456, (1060, 1360), (0, 0), (900, 2350), ((2, 3), (2, 3), (2, 3), (2, 3), (2, 2), (3, 2))),
}
RATIOS = {(2, 3): (1.36, 1.5), (2, 2): (0.94, 1.06), (3, 2): (0.65, 0.72)}


def characters_of(rng: random.Random, kind: Kind, crowded: float) -> int:
    """How many characters the pages of a batch have at most; crowded: the chance of about as many as its rows hold."""
    fewest, most = kind.characters
    return rng.randint(max(fewest, most * 3 // 4), most) if rng.random() < crowded else rng.randint(fewest, most)


def pages_in(places: int, kind: Kind) -> int:
    """How many pages have so many places of the prompt together; in sixteens, where there are so many."""
    count = max(1, places // kind.places)
    return count - count % 16 if count >= 16 else count
