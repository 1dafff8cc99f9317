"""Drawn pages as tensors: crops with a label per cell, and whole pages with the text to write down."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from dsocr.model.tokenizer import Tokenizer
from dsocr.pages.modes import Mode
from dsocr.pages.tiling import make_views
from dsocr.prompts import resolve_prompt
from dsocr.training.drawing import Drawn, draw_dense, draw_note
from dsocr.training.text import ALPHABET, TextSource
from dsocr.views import PIXELS_PER_TOKEN

CLASSES = len(ALPHABET) + 1  # class 0: no character's centre lies here
_CLASS = {character: index + 1 for index, character in enumerate(ALPHABET)}
_CELL_HEIGHT, _CELL_WIDTH = 16, 8
_IGNORED = -100
_PROMPTS = ("document", "document", "free", "ocr")


@dataclass(frozen=True)
class Workshop:
    """What pages are drawn with: a source of text, fonts by name, the tokenizer that reads the text."""

    source: TextSource
    fonts: Mapping[str, Path]
    tokenizer: Tokenizer

    def upright(self) -> Workshop:
        """The same without bold and slanted fonts."""
        plain = {name: path for name, path in self.fonts.items() if not re.search("Bold|Italic|Oblique", name)}
        return replace(self, fonts=plain)


@dataclass(frozen=True)
class CropBatch:
    """pixels [b, 3, s, s]; labels [b, s/16, s/8], the class of the character in each cell."""

    pixels: Tensor
    labels: Tensor


@dataclass(frozen=True)
class ReadingBatch:
    """Pages of one view size with their texts.

    pixels [b, 3, s, s] and labels as in CropBatch; ids [b, n] prompt and text; targets [b, n] the next id of
    the text or -100; where [b, n, 2] the next character's place in 0…1 of the view; places [b, n] the prompt
    place that holds it; known [b, n] where both mean something; text_from: where the text begins; order
    [b, (s/64)², 3]: line, place in the line and place in the text of the first character that a token holds, each
    about 0…1, or -1 where it holds none.
    """

    pixels: Tensor
    labels: Tensor
    ids: Tensor
    targets: Tensor
    where: Tensor
    places: Tensor
    known: Tensor
    text_from: int
    order: Tensor


def crop_batch(rng: random.Random, shop: Workshop, count: int, side: int, stretch: tuple[float, float]) -> CropBatch:
    """Dense crops for the encoder, cut from sheets: print of 22 to 36 pixels, enlarged `stretch` times."""
    pixels: list[Tensor] = []
    labels: list[npt.NDArray[np.int64]] = []
    sheet = side * (2 if count >= 4 else 1)
    while len(pixels) < count:
        scale = rng.uniform(*stretch)
        width, height = (round(sheet / (scale * rng.uniform(1, 1.1))) for _ in range(2))
        drawn = draw_dense(rng, shop.source, shop.fonts, width=width, height=height, size=rng.randint(22, 36))
        image = _to_pixels(Image.fromarray(drawn.image).resize((sheet, sheet)))
        at = drawn.centres * np.array([sheet / width, sheet / height], np.float32)
        cells = cell_labels(drawn.text, at, sheet)
        for top, left in itertools.product(range(0, sheet, side), repeat=2):
            pixels.append(image[:, top : top + side, left : left + side])
            rows = slice(top // _CELL_HEIGHT, (top + side) // _CELL_HEIGHT)
            labels.append(cells[rows, left // _CELL_WIDTH : (left + side) // _CELL_WIDTH])
    return CropBatch(torch.stack(pixels[:count]), torch.from_numpy(np.stack(labels[:count])))


def reading_batch(
    rng: random.Random,
    shop: Workshop,
    count: int,
    mode: Mode,
    weights: Mapping[str, float] | None = None,
    corrupted: float = 0.0,
    full: float = 0.0,
) -> ReadingBatch:
    """Notes as a reader meets them, each at most 640 pixels a side, seen in the mode's overview.

    weights are those of TextSource.mixture; corrupted: the share of the text given to the decoder with a wrong
    character; full: the chance that the pages of this batch are printed from top to bottom.
    """
    side = mode.overview_px
    crowded = rng.random() < full
    notes = [_note(rng, shop, weights, crowded) for _ in range(count)]
    views = [make_views(Image.fromarray(note.image).convert("RGB"), mode) for note in notes]
    centres = [_seen(note, mode) for note in notes]
    labels = [cell_labels(note.text, at, side) for note, at in zip(notes, centres, strict=True)]
    rows = [_row(rng, shop, note.text, at, side, corrupted) for note, at in zip(notes, centres, strict=True)]
    length = max(len(row[0]) for row in rows)
    ids, targets, where = (torch.stack([_padded(row[part], length) for row in rows]) for part in range(3))
    known = (where >= 0).all(-1)
    grid = (where * (side // PIXELS_PER_TOKEN)).long().clamp(0, side // PIXELS_PER_TOKEN - 1)
    # Place 0 holds the begin token; each row of tokens ends with a newline.
    places = 1 + grid[..., 1] * (side // PIXELS_PER_TOKEN + 1) + grid[..., 0]
    return ReadingBatch(
        torch.stack([view.overview for view in views]),
        torch.from_numpy(np.stack(labels)),
        ids.clamp(min=0),
        targets,
        where,
        places,
        known,
        int((targets >= 0).any(0).nonzero()[0]),
        torch.stack([reading_order(note.text, at, side) for note, at in zip(notes, centres, strict=True)]),
    )


def cell_labels(text: str, centres: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.int64]:
    """The class of the character whose centre lies in each cell: [side/16, side/8]; ink wins over spaces."""
    labels = np.zeros((side // _CELL_HEIGHT, side // _CELL_WIDTH), dtype=np.int64)
    classes = np.array([_CLASS.get(character, 0) for character in text], dtype=np.int64)
    rows = np.clip(centres[:, 1] // _CELL_HEIGHT, 0, labels.shape[0] - 1).astype(np.int64)
    columns = np.clip(centres[:, 0] // _CELL_WIDTH, 0, labels.shape[1] - 1).astype(np.int64)
    for chosen in (classes == _CLASS[" "], classes > _CLASS[" "]):
        labels[rows[chosen], columns[chosen]] = classes[chosen]
    return labels


def reading_order(text: str, centres: npt.NDArray[np.float32], side: int) -> Tensor:
    """Line, place in the line and place in the text of each token's first character: [(side/64)², 3], -1 for none."""
    n = side // PIXELS_PER_TOKEN
    order = torch.full((n * n, 3), -1.0)
    grid = np.clip(centres // PIXELS_PER_TOKEN, 0, n - 1).astype(int)
    line = column = 0
    for index, (character, (x, y)) in enumerate(zip(text, grid, strict=True)):
        if order[y * n + x, 0] < 0:
            order[y * n + x] = torch.tensor([line / 12, column / 40, index / 400])
        line, column = (line + 1, 0) if character == "\n" else (line, column + 1)
    return order


def _note(rng: random.Random, shop: Workshop, weights: Mapping[str, float] | None, crowded: bool) -> Drawn:
    size = rng.randint(25, 31)
    # A page costs the same, however much is printed on it: full ones teach more reading for it.
    characters = rng.randint(450, 800) if crowded else rng.randint(100, 380)
    width = 640 if crowded else rng.choice((640, 640, 640, 600, 560, 512, 480, rng.randint(400, 640)))
    # Lines of print need about 0.8 size² pixels a character, margins and leading included.
    needed = int(characters * size * size * 0.85 / width) + 3 * size
    height = 640 if crowded or rng.random() < 0.4 else min(640, max(160, round(needed * rng.uniform(1.0, 1.5))))
    return draw_note(
        rng, shop.source, shop.fonts, width=width, height=height, size=size, characters=characters, weights=weights
    )


def _seen(note: Drawn, mode: Mode) -> npt.NDArray[np.float32]:
    """Where each character's centre stands in the overview."""
    height, width = note.image.shape
    if mode.squash:
        scale, offset = np.array([mode.overview_px / width, mode.overview_px / height]), np.zeros(2)
    else:
        scale = np.full(2, mode.overview_px / max(width, height))
        offset = (mode.overview_px - np.array([width, height]) * scale) / 2
    seen: npt.NDArray[np.float32] = (note.centres * scale + offset).astype(np.float32)
    return seen


def _row(
    rng: random.Random, shop: Workshop, text: str, centres: npt.NDArray[np.float32], side: int, corrupted: float
) -> tuple[Tensor, Tensor, Tensor]:
    """One page as prompt and text: ids, targets, and where the next character stands (-1: nowhere)."""
    tokenizer = shop.tokenizer
    n = side // PIXELS_PER_TOKEN
    prompt = tokenizer.prompt_ids(resolve_prompt(rng.choice(_PROMPTS)), [n * (n + 1) + 1])
    pieces = [tokenizer.encode(character, allow_special=False) for character in text]
    written = [index for piece in pieces for index in piece]
    spots = np.repeat(centres / side, [len(piece) for piece in pieces], axis=0)
    seen = [rng.choice(written) if rng.random() < corrupted else index for index in written]
    ids = torch.tensor(prompt + seen)
    targets = torch.tensor([_IGNORED] * (len(prompt) - 1) + written + [tokenizer.eos])
    where = torch.full((len(ids), 2), -1.0)
    where[len(prompt) - 1 : -1] = torch.from_numpy(spots)
    return ids, targets, where


def _padded(row: Tensor, length: int) -> Tensor:
    """Rows of one length; what is added is ignored."""
    fill = _IGNORED if row.dtype == torch.long else -1.0
    padded = row.new_full((length, *row.shape[1:]), fill)
    padded[: len(row)] = row
    return padded


def _to_pixels(image: Image.Image) -> Tensor:
    """A grey picture as the network sees it: [3, h, w] in -1…1."""
    grey = torch.from_numpy(np.asarray(image).copy()).float().div(255).sub(0.5).div(0.5)
    return grey.expand(3, -1, -1)
