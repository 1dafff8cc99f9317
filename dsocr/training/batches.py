"""Pages as tensors: your pairs and drawn notes with the text to write down, and crops with a label per cell."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dsocr.model.tokenizer import Tokenizer
from dsocr.pages.modes import Mode
from dsocr.pages.tiling import make_views
from dsocr.prompts import resolve_prompt
from dsocr.training.drawing import Drawn, draw_dense, draw_note
from dsocr.training.pairs import Pair
from dsocr.training.recipe import Stage
from dsocr.training.slips import Written, slip, truthful
from dsocr.training.text import ALPHABET, TextSource
from dsocr.views import PIXELS_PER_TOKEN, Views, VisionLayout

CLASSES = len(ALPHABET) + 1  # class 0: no character's centre lies here
_CLASS = {character: index + 1 for index, character in enumerate(ALPHABET)}
_CELL_HEIGHT, _CELL_WIDTH = 16, 8
_IGNORED = -100
_OTHER_WORDS = 16  # for a page


@dataclass(frozen=True)
class Workshop:
    """What pages are made of: the tokenizer that reads their text, your pairs, and what pages are drawn with.

    source: text to print; fonts by name; both empty where nothing is drawn. prompts: one is chosen for each page.
    even: texts are filled up to a multiple of so many ids, so that shapes come again.
    """

    tokenizer: Tokenizer
    source: TextSource = field(default_factory=lambda: TextSource((), ()))
    fonts: Mapping[str, Path] = field(default_factory=dict)
    pairs: tuple[Pair, ...] = ()
    prompts: tuple[str, ...] = ("document",)
    even: int = 1

    def upright(self) -> Workshop:
        """The same without bold and slanted fonts, unless there are no others."""
        plain = {name: path for name, path in self.fonts.items() if not re.search("Bold|Italic|Oblique", name)}
        return replace(self, fonts=plain or self.fonts)


@dataclass(frozen=True)
class CropBatch:
    """pixels [b, 3, s, s]; labels [b, s/16, s/8], the class of the character in each cell."""

    pixels: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Print:
    """What is known of drawn pages alone: where their characters stand in the overview.

    labels as in CropBatch; where [b, n, 2] the next character's place in 0…1 of the view; places [b, n] the prompt
    place that holds it; known [b, n] where both mean something; order [b, (s/64)², 3]: line, place in the line and
    place in the text of the first character that a token holds, each about 0…1, or -1 where it holds none.
    """

    labels: Tensor
    where: Tensor
    places: Tensor
    known: Tensor
    order: Tensor


@dataclass(frozen=True)
class PageBatch:
    """Pages in one mode and what is to be written about them.

    overviews [b, 3, s, s]; tiles [n, 3, t, t], those of all pages in order; layouts: how each page's tokens lie;
    ids [b, n] prompt and text; targets [b, n] the next id of the text or -100; print: of drawn pages.
    """

    overviews: Tensor
    tiles: Tensor
    layouts: tuple[VisionLayout, ...]
    ids: Tensor
    targets: Tensor
    print: Print | None = None

    @property
    def text_from(self) -> int:
        """No page's text begins before this place."""
        return int((self.targets >= 0).any(0).nonzero()[0])

    def without_pixels(self) -> PageBatch:
        """What is left when the encoder has seen the pages."""
        nothing = torch.empty(0)
        return replace(self, overviews=nothing, tiles=nothing)


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


def pair_batch(rng: random.Random, shop: Workshop, pairs: Sequence[Pair], mode: Mode) -> PageBatch:
    """Your pages in a mode, each with its text and one of the prompts."""
    views = [make_views(pair.open(), mode) for pair in pairs]
    texts = [shop.tokenizer.encode(pair.text) for pair in pairs]
    rows = [_row(rng, shop, view.layout, text, truthful(text)) for view, text in zip(views, texts, strict=True)]
    return _batch(shop, views, rows)


def note_batch(
    rng: random.Random, shop: Workshop, notes: Sequence[Drawn], mode: Mode, written: Sequence[Written]
) -> PageBatch:
    """Drawn notes, each at most 640 pixels a side, in the mode's overview, with what was written of each so far."""
    side = mode.overview_px
    views = [make_views(Image.fromarray(note.image), mode) for note in notes]
    pieces = [_pieces(shop, note) for note in notes]
    texts = [list(itertools.chain(*each)) for each in pieces]
    rows = [_row(rng, shop, *each) for each in zip((view.layout for view in views), texts, written, strict=True)]
    batch = _batch(shop, views, rows)
    centres = [_seen(note, mode) for note in notes]
    spots = [
        np.repeat(at / np.float32(side), list(map(len, each)), axis=0) for at, each in zip(centres, pieces, strict=True)
    ]
    where = torch.stack([_where(*each) for each in zip(batch.targets, written, spots, strict=True)])
    n = side // PIXELS_PER_TOKEN
    grid = (where * n).long().clamp(0, n - 1)
    print_ = Print(
        torch.from_numpy(np.stack([cell_labels(note.text, at, side) for note, at in zip(notes, centres, strict=True)])),
        where,
        # Place 0 holds the begin token; each row of tokens ends with a newline.
        1 + grid[..., 1] * (n + 1) + grid[..., 0],
        (where >= 0).all(-1),
        torch.stack([reading_order(note.text, at, side) for note, at in zip(notes, centres, strict=True)]),
    )
    return replace(batch, print=print_)


def text_ids(shop: Workshop, note: Drawn) -> list[int]:
    """What is to be written about a note."""
    return list(itertools.chain(*_pieces(shop, note)))


def slipped(rng: random.Random, shop: Workshop, note: Drawn, stage: Stage) -> Written:
    """The text of a note, as often wrong as the stage has it."""
    space = shop.tokenizer.encode(" ", allow_special=False)[-1]
    return slip(rng, text_ids(shop, note), _other_words(rng, shop), space, stage.corrupted, stage.slips)


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


def draw_page(rng: random.Random, shop: Workshop, weights: Mapping[str, float] | None, crowded: bool) -> Drawn:
    """A note in print of 25 to 31 pixels, few lines or, crowded, a page of 640 pixels full of them."""
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
    rng: random.Random, shop: Workshop, layout: VisionLayout, text: list[int], written: Written
) -> tuple[Tensor, Tensor]:
    """One page as prompt and what was written of its text so far: ids and targets."""
    prompt = shop.tokenizer.prompt_ids(resolve_prompt(rng.choice(shop.prompts)), [len(layout)])
    ends = [*text, shop.tokenizer.eos]
    targets = [_IGNORED if place is None else ends[place] for place in (0, *written.following)]
    return torch.tensor(prompt + written.ids), torch.tensor([_IGNORED] * (len(prompt) - 1) + targets)


def _pieces(shop: Workshop, note: Drawn) -> list[list[int]]:
    return [shop.tokenizer.encode(letter, allow_special=False) for letter in note.text]


def _other_words(rng: random.Random, shop: Workshop) -> list[list[int]]:
    """Some that a page may be misread to have."""
    words = rng.choices(shop.source.vocabulary, k=_OTHER_WORDS) if shop.source.vocabulary else []
    return [shop.tokenizer.encode(word, allow_special=False) for word in words]


def _batch(shop: Workshop, views: Sequence[Views], rows: Sequence[tuple[Tensor, Tensor]]) -> PageBatch:
    """Rows of one length; what is added has no targets."""
    longest = max(len(ids) for ids, _ in rows)
    length = longest + -longest % shop.even
    ids = torch.stack([F.pad(row, (0, length - len(row)), value=0) for row, _ in rows])
    targets = torch.stack([F.pad(row, (0, length - len(row)), value=_IGNORED) for _, row in rows])
    overviews, tiles = torch.stack([view.overview for view in views]), torch.cat([view.tiles for view in views])
    return PageBatch(overviews, tiles, tuple(view.layout for view in views), ids, targets)


def _where(targets: Tensor, written: Written, spots: npt.NDArray[np.float32]) -> Tensor:
    """Where the character stands that each place is to write, [n, 2] in 0…1 of the view; -1: nowhere.

    spots: where each id of the text stands, [len(text), 2].
    """
    start = int((targets >= 0).nonzero()[0])
    where = torch.full((len(targets), 2), -1.0)
    for index, place in enumerate((0, *written.following), start):
        if place is not None and place < len(spots):
            where[index] = torch.from_numpy(spots[place])
    return where


def _to_pixels(image: Image.Image) -> Tensor:
    """A grey picture as the network sees it: [3, h, w] in -1…1."""
    grey = torch.from_numpy(np.asarray(image).copy()).float().div(255).sub(0.5).div(0.5)
    return grey.expand(3, -1, -1)
