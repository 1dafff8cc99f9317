"""Batches of whole drawn pages in every mode, of few shapes: drawn on the CPU, looked at on the device."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dsocr.model.tokenizer import Tokenizer
from dsocr.pages.modes import Mode, get_mode
from dsocr.pages.tiling import PADDING_COLOUR, choose_grid
from dsocr.prompts import resolve_prompt
from dsocr.training.batches import Workshop
from dsocr.training.heads import TOKEN_COLUMNS, TOKEN_ROWS
from dsocr.training.sheets.kinds import KINDS, RATIOS, Kind
from dsocr.training.sheets.page import Piece, Plan, Sheet, draw_sheet, write_down
from dsocr.training.slips import Written, slip
from dsocr.training.text import ALPHABET
from dsocr.views import PIXELS_PER_TOKEN, VisionLayout

ASKED = 48  # places of each page's text that the gaze is asked at
_CLASS = {character: index + 1 for index, character in enumerate(ALPHABET)}
_TRIMMED = 64  # places: rows of a batch are cut to a multiple
_SPECIAL = re.compile(r"<[^<>]*>")
_CUBIC = -0.5  # the parameter of Pillow's bicubic filter


@dataclass(frozen=True)
class SheetBatch:
    """Pages in one mode and one grid.

    paper uint8 [b, h, w], each page at the top left; sizes int [b, 2], width and height; ids, targets [b, n] as in
    PageBatch; labels uint8 [views, s/16, s/8], classes of the cells of the tiles, or of the overviews where there are
    none; asked [b, q]: places of the text, -1 for none; places, cells [b, q]: the prompt place that holds the character
    that comes next, and the cell within its token.
    """

    kind: str
    grid: tuple[int, int]
    paper: Tensor
    sizes: Tensor
    ids: Tensor
    targets: Tensor
    labels: Tensor
    asked: Tensor
    places: Tensor
    cells: Tensor

    @property
    def mode(self) -> Mode:
        """How the pages are looked at."""
        return get_mode(KINDS[self.kind].mode)

    @property
    def layout(self) -> VisionLayout:
        """How the tokens of each page lie."""
        return _layout(self.mode, self.grid)

    def pin_memory(self) -> SheetBatch:
        """The same where a GPU can fetch it."""
        return self._with(lambda tensor: tensor.pin_memory())

    def to(self, device: torch.device) -> SheetBatch:
        """The same on a device, which need not be waited for."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=True))

    def trimmed(self) -> SheetBatch:
        """The same with few places that no row fills: less to do, but of more shapes.

        They teach nothing, but that the routers' balance loss is a mean over all places.
        """
        most = int((self.targets >= 0).any(0).nonzero().max()) + 1
        most += -most % _TRIMMED
        return replace(self, ids=self.ids[:, :most], targets=self.targets[:, :most])

    def _with(self, change: object) -> SheetBatch:
        assert callable(change)
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return SheetBatch(
            **{name: change(value) if torch.is_tensor(value) else value for name, value in values.items()}
        )


def sheet_batch(
    rng: random.Random,
    shop: Workshop,
    kind: str,
    count: int,
    *,
    weights: Mapping[str, float] | None,
    characters: int,
    corrupted: float,
    slips: float,
) -> SheetBatch:
    """Draw `count` pages of a kind with up to so many characters each, and not many fewer."""
    asked_for, mode = KINDS[kind], get_mode(KINDS[kind].mode)
    grid = rng.choice(asked_for.grids)
    layout = _layout(mode, grid)
    space = shop.tokenizer.encode(" ", allow_special=False)[-1]
    sheets, rows = list[Sheet](), list[_Row]()
    for _ in range(count):
        prompt = rng.choice(shop.prompts)
        sheet = draw_sheet(
            rng, shop.source, shop.fonts, _plan(rng, asked_for, mode, grid, weights, characters, flat=prompt == "ocr")
        )
        ids, spots = _spelled(shop.tokenizer, write_down(sheet, prompt))
        start = shop.tokenizer.prompt_ids(resolve_prompt(prompt), [len(layout)])
        written = slip(rng, ids, _words(rng, shop), space, corrupted, slips)
        sheets.append(sheet)
        rows.append(
            _row(start, ids, written, _in_views(spots, sheet, mode, grid), asked_for.places, shop.tokenizer.eos)
        )
    seen = [_labels(sheet, mode, grid) for sheet in sheets]
    gaze = [_gaze(rng, row, layout) for row in rows]
    sizes = [(sheet.image.shape[1], sheet.image.shape[0]) for sheet in sheets]
    wide, high = (max(size[axis] for size in sizes) for axis in (0, 1))
    paper = np.zeros((count, high, wide), np.uint8)
    for page, sheet in zip(paper, sheets, strict=True):
        page[: sheet.image.shape[0], : sheet.image.shape[1]] = sheet.image
    asked, places, cells = (torch.from_numpy(np.stack(each)) for each in zip(*gaze, strict=True))
    return SheetBatch(
        kind,
        grid,
        torch.from_numpy(paper),
        torch.tensor(sizes),
        torch.stack([torch.from_numpy(row.ids) for row in rows]),
        torch.stack([torch.from_numpy(row.targets) for row in rows]),
        torch.from_numpy(np.concatenate(seen)),
        asked,
        places,
        cells,
    )


@torch.no_grad()
def look_at(batch: SheetBatch, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The overviews [b, 3, s, s] and all tiles [t, 3, s, s] of a batch, on its device, as `make_views` makes them.

    A page is resampled by two products, with a matrix for its columns and one for its rows.
    """
    mode, (columns, rows) = batch.mode, batch.grid
    exact = torch.float16 if batch.paper.is_cuda else torch.float32
    paper = batch.paper.to(exact) / 255
    side = mode.overview_px
    wide, high = batch.sizes[:, 0].float(), batch.sizes[:, 1].float()
    if mode.squash:
        overview = _resampled(
            paper, (wide, high), (torch.full_like(wide, side), torch.full_like(high, side)), side, side
        )
    else:
        larger = torch.maximum(wide, high)
        fitted = (wide / larger * side).round(), (high / larger * side).round()
        overview = _resampled(paper, (wide, high), fitted, side, side)
    overviews = _as_seen(overview, dtype)[:, None].expand(-1, 3, -1, -1)
    if not columns:
        return overviews, overviews.new_zeros(0, 3, mode.tile_px, mode.tile_px)
    across, down = columns * mode.tile_px, rows * mode.tile_px
    whole = _resampled(paper, (wide, high), (torch.full_like(wide, across), torch.full_like(high, down)), across, down)
    cut = whole.reshape(-1, rows, mode.tile_px, columns, mode.tile_px).transpose(2, 3).flatten(0, 2)
    return overviews, _as_seen(cut, dtype)[:, None].expand(-1, 3, -1, -1)


@dataclass(frozen=True)
class _Row:
    ids: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    spots: npt.NDArray[np.float32]  # [n, 2] where what comes next stands in the tiles' or the overview's pixels


def _layout(mode: Mode, grid: tuple[int, int]) -> VisionLayout:
    return VisionLayout(mode.overview_px // PIXELS_PER_TOKEN, mode.tile_px // PIXELS_PER_TOKEN, grid[1], grid[0])


def _plan(
    rng: random.Random,
    kind: Kind,
    mode: Mode,
    grid: tuple[int, int],
    weights: Mapping[str, float] | None,
    most: int,
    *,
    flat: bool,
) -> Plan:
    size = rng.randint(17, 33)
    characters = round(most * rng.uniform(0.8, 1.0))
    while True:
        width = rng.randint(*kind.width)
        if grid[0]:
            height = round(width * rng.uniform(*RATIOS[grid]))
            if choose_grid(width, height, mode) == grid:
                break
            continue
        height = rng.randint(*kind.height)
        if kind.mode in ("tiny", "small") and rng.random() < 0.4:
            width = height = rng.choice((640, 640, width))
        # Notes are often cut to their text.
        needed = int(characters * size * size * 0.85 / width) + 3 * size
        if kind.height[0] < 300 and rng.random() < 0.4:
            height = min(kind.height[1], max(160, round(needed * rng.uniform(1.0, 1.5))))
        break
    return Plan(width, height, size, characters, weights, 0.0 if flat else rng.choice((0.0, 0.15, 0.4)))


def _words(rng: random.Random, shop: Workshop) -> list[list[int]]:
    chosen = rng.choices(shop.source.vocabulary, k=8)
    return [list(chain.from_iterable(_letter(shop.tokenizer, letter) for letter in word)) for word in chosen]


_LETTERS: dict[tuple[int, str], list[int]] = {}


def _letter(tokenizer: Tokenizer, letter: str) -> list[int]:
    key = id(tokenizer), letter
    if key not in _LETTERS:
        _LETTERS[key] = tokenizer.encode(letter, allow_special=False)
    return _LETTERS[key]


def _spelled(tokenizer: Tokenizer, pieces: Sequence[Piece]) -> tuple[list[int], npt.NDArray[np.float32]]:
    """Ids, and where on the page each one's character stands, [n, 2], nan for tags."""
    ids, spots = list[int](), list[npt.NDArray[np.float32]]()
    for piece in pieces:
        if piece.places is None:
            own = tokenizer.encode(piece.text)
            ids += own
            spots.append(np.full((len(own), 2), np.nan, np.float32))
            continue
        letters = [_letter(tokenizer, letter) for letter in piece.text]
        ids += chain.from_iterable(letters)
        spots.append(np.repeat(piece.places, [len(letter) for letter in letters], axis=0))
    return ids, np.concatenate([np.zeros((0, 2), np.float32), *spots])


def _row(
    start: list[int],
    text: list[int],
    written: Written,
    spots: npt.NDArray[np.float32],
    places: int,
    eos: int,
) -> _Row:
    """A row of the batch; what does not fit is cut off, the rest is filled up with what teaches nothing."""
    ends = np.array([*text, eos], np.int64)
    stands = np.concatenate([spots, np.full((1, 2), np.nan, np.float32)])
    following = np.array([-1 if place is None else place for place in (0, *written.following)], np.int64)
    ids = np.zeros(places, np.int64)
    targets = np.full(places, -100, np.int64)
    where = np.full((places, 2), np.nan, np.float32)
    whole = np.array(start + written.ids, np.int64)[:places]
    ids[: len(whole)] = whole
    first = len(start) - 1
    following = following[: places - first]
    known = following >= 0
    targets[first : first + len(following)] = np.where(known, ends[following], -100)
    where[first : first + len(following)] = np.where(known[:, None], stands[following], np.nan)
    return _Row(ids, targets, where)


def _in_views(
    places: npt.NDArray[np.float32], sheet: Sheet, mode: Mode, grid: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Pixels of the page → pixels of its tiles side by side, or of its overview where it has none."""
    high, wide = sheet.image.shape
    sides, offset = np.array([wide, high]), np.zeros(2)
    if grid[0]:
        scale = np.array(grid) * mode.tile_px / sides
    elif mode.squash:
        scale = mode.overview_px / sides
    else:
        scale = np.full(2, mode.overview_px / max(wide, high))
        offset = (mode.overview_px - sides * scale) / 2
    seen: npt.NDArray[np.float32] = (places * scale + offset).astype(np.float32)
    return seen


def _labels(sheet: Sheet, mode: Mode, grid: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Classes of the cells of a page's views: uint8 [views, s/16, s/8]."""
    columns, rows = grid if grid[0] else (1, 1)
    side = mode.tile_px if grid[0] else mode.overview_px
    cells = np.zeros((rows * side // 16, columns * side // 8), np.uint8)
    for block in sheet.blocks:
        for line in block.lines:
            text, places = line.piece.text, line.piece.places
            assert places is not None
            at = _in_views(places, sheet, mode, grid)
            classes = np.array([_CLASS.get(letter, 0) for letter in text])
            y = np.clip(at[:, 1] // 16, 0, cells.shape[0] - 1).astype(int)
            x = np.clip(at[:, 0] // 8, 0, cells.shape[1] - 1).astype(int)
            for chosen in (classes == _CLASS[" "], classes > _CLASS[" "]):
                cells[y[chosen], x[chosen]] = classes[chosen]
    cut = cells.reshape(rows, side // 16, columns, side // 8).swapaxes(1, 2)
    return cut.reshape(rows * columns, side // 16, side // 8)


def _gaze(
    rng: random.Random, row: _Row, layout: VisionLayout
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places of the text whose next character's place is known: which, at what prompt place, in which cell of it."""
    across = layout.columns * layout.tile_side if layout.columns else layout.overview_side
    down = layout.rows * layout.tile_side if layout.rows else layout.overview_side
    known = np.flatnonzero(~np.isnan(row.spots[:, 0]))
    asked, places, cells = (np.full(ASKED, fill, np.int64) for fill in (-1, -100, -100))
    if not len(known):
        return asked, places, cells
    chosen = np.sort(np.array(rng.sample(range(len(known)), min(ASKED, len(known)))))
    at = known[chosen]
    tokens = row.spots[at] / PIXELS_PER_TOKEN
    grid = np.clip(tokens, 0, (across - 1, down - 1)).astype(np.int64)
    within = np.clip(tokens - grid, 0, 0.999)
    asked[: len(at)] = at
    # Place 0 holds the begin token; each row of tokens ends with a newline.
    places[: len(at)] = 1 + grid[:, 1] * (across + 1) + grid[:, 0]
    cells[: len(at)] = (within[:, 1] * TOKEN_ROWS).astype(int) * TOKEN_COLUMNS + (within[:, 0] * TOKEN_COLUMNS).astype(
        int
    )
    return asked, places, cells


def _resampled(
    paper: Tensor, sizes: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor], across: int, down: int
) -> Tensor:
    """Pages [b, h, w] resized each to its wanted size, in the middle of sheets [b, down, across] of padding's grey."""
    columns = _filter(sizes[0], wanted[0], paper.shape[2], across).to(paper.dtype)
    rows = _filter(sizes[1], wanted[1], paper.shape[1], down).to(paper.dtype)
    sheet = rows @ paper @ columns.transpose(1, 2)
    inside = (rows.sum(2) > 0.5)[:, :, None] & (columns.sum(2) > 0.5)[:, None, :]
    return torch.where(inside, sheet, PADDING_COLOUR[0] / 255)


def _filter(size: Tensor, wanted: Tensor, most: int, out: int) -> Tensor:
    """Pillow's bicubic resizing from `size` [b] of `most` pixels to `wanted` in the middle of `out`: [b, out, most]."""
    scale = (size / wanted)[:, None, None]
    wide = scale.clamp(min=1.0)
    first = ((out - wanted) / 2).round()[:, None, None]
    at = torch.arange(out, device=size.device)[None, :, None] - first
    source = torch.arange(most, device=size.device)[None, None, :]
    x = ((source + 0.5 - (at + 0.5) * scale) / wide).abs()
    near = ((_CUBIC + 2) * x - (_CUBIC + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * _CUBIC
    weight = torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
    weight = weight * (source < size[:, None, None]) * (at >= 0) * (at < wanted[:, None, None])
    return weight / weight.sum(2, keepdim=True).clamp(min=1e-6)


def _as_seen(sheet: Tensor, dtype: torch.dtype) -> Tensor:
    """Grey 0…1 in whole levels, as the network sees it: -1…1, rounded to bfloat16."""
    levels = (sheet.float().clamp(0, 1) * 255).round() / 255
    return ((levels - 0.5) / 0.5).to(torch.bfloat16).to(dtype)
