"""Views as the published code makes them, and the grid rule."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dsocr.errors import InputError
from dsocr.pages import MODES, Page, get_mode, open_pages
from dsocr.pages.tiling import PADDING_COLOUR, choose_grid, make_views

GOLDEN = Path(__file__).parents[1] / "golden" / "pre"
CASES: list[dict[str, Any]] = json.loads((GOLDEN / "golden.json").read_text())["cases"]
SIDES = st.integers(1, 20_000)
NAMES = st.sampled_from(list(MODES))


@lru_cache(1)
def golden_page(file: str) -> Page:
    (page,) = open_pages(GOLDEN / "images" / file)
    assert isinstance(page, Page)
    return page


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['file']}-{case['mode']}")
def test_views_are_those_of_the_published_code(case: dict[str, Any]) -> None:
    page = golden_page(case["file"])
    views = make_views(page.image, get_mode(case["mode"]))
    assert f"image size:  {page.size}" == case["size"]
    assert [1, *views.overview.shape] == case["global_shape"]
    assert fingerprint(views.overview) == case["global_sha"]
    assert [*views.tiles.shape] == (case["local_shape"] or [0, 3, 640, 640])
    assert [fingerprint(tile) for tile in views.tiles] == (case["local_sha"] or [])
    assert [max(views.columns, 1), max(views.rows, 1)] == case["spatial_crop"][0]
    assert len(views.layout) == case["n_image"]


def test_pixels_are_rounded_to_bfloat16_as_in_the_published_code() -> None:
    with Image.open(GOLDEN.parent / "micro" / "page.png") as page:
        overview = make_views(page.convert("RGB"), get_mode("tiny")).overview
    assert hashlib.sha256(overview.view(torch.int16).numpy().tobytes()).hexdigest() == (
        "69f51f4d4d993c03cb98cec49c64230f26ce30c3dae44bee15d0ffa938d5f7da"
    )


@pytest.mark.parametrize("name", ["tiny", "gundam"])
def test_all_views_are_bfloat16_and_their_256_levels_stay_distinct(name: str) -> None:
    levels = Image.new("RGB", (1024, 1024))
    levels.paste(Image.linear_gradient("L").resize((1024, 1024), Image.Resampling.NEAREST))
    views = make_views(levels, get_mode(name))
    assert views.overview.dtype == views.tiles.dtype == torch.bfloat16
    assert len(views.overview.unique()) == 256


@pytest.mark.parametrize(
    ("size", "nine", "six"),
    [
        ((641, 640), (2, 2), (2, 2)),
        ((1280, 1280), (2, 2), (2, 2)),
        ((595, 842), (2, 3), (2, 3)),
        ((1275, 1650), (2, 3), (2, 3)),
        ((1024, 768), (3, 2), (3, 2)),
        ((1000, 800), (2, 2), (2, 2)),
        ((1920, 1080), (4, 2), (2, 1)),
        ((1600, 900), (2, 1), (2, 1)),
        ((1000, 2000), (2, 4), (1, 2)),
        ((2000, 2000), (3, 3), (2, 2)),
        ((3000, 500), (6, 1), (6, 1)),
        ((6400, 640), (9, 1), (6, 1)),
        ((300, 700), (1, 2), (1, 2)),
        ((640, 640), (0, 0), (0, 0)),
    ],
)
def test_grids_with_at_most_nine_and_six_tiles(
    size: tuple[int, int], nine: tuple[int, int], six: tuple[int, int]
) -> None:
    gundam = get_mode("gundam")
    assert choose_grid(*size, gundam) == nine
    assert choose_grid(*size, replace(gundam, max_tiles=6)) == six


@given(SIDES, SIDES, NAMES)
def test_a_grid_keeps_its_limits_and_only_large_pages_have_one(width: int, height: int, name: str) -> None:
    mode = MODES[name]
    columns, rows = choose_grid(width, height, mode)
    tiled = mode.max_tiles > 0 and max(width, height) > mode.tile_px
    assert mode.min_tiles <= columns * rows <= mode.max_tiles if tiled else (columns, rows) == (0, 0)


@given(SIDES, SIDES)
def test_no_allowed_grid_is_nearer_to_the_ratio_of_the_page(width: int, height: int) -> None:
    mode = get_mode("gundam-m")
    columns, rows = choose_grid(width, height, mode)
    others = [(w, h) for w in range(1, 10) for h in range(1, 10) if 2 <= w * h <= 9]
    nearest = min(abs(width / height - w / h) for w, h in others)
    assert not columns or abs(width / height - columns / rows) == nearest


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 1500), st.integers(1, 1500), NAMES)
def test_the_layout_counts_each_token_row_and_the_separator(width: int, height: int, name: str) -> None:
    views = make_views(Image.new("RGB", (width, height)), MODES[name])
    side, tile = MODES[name].overview_px // 64, MODES[name].tile_px // 64
    rows, columns = views.rows * tile, views.columns * tile
    assert len(views.layout) == side * (side + 1) + 1 + rows * (columns + 1)
    assert views.tiles.shape == (views.rows * views.columns, 3, tile * 64, tile * 64)
    assert views.layout.vision_tokens == side**2 + rows * columns


def test_tiles_lie_row_by_row_from_the_left() -> None:
    image = Image.new("RGB", (1280, 1920))
    for place in range(6):
        image.paste((place * 40, 0, 0), (place % 2 * 640, place // 2 * 640, (place % 2 + 1) * 640, 1920))
    views = make_views(image, get_mode("gundam"))
    assert [round((tile[0, 320, 320].item() + 1) * 127.5) for tile in views.tiles] == [0, 40, 80, 120, 160, 200]


def test_black_is_minus_one_white_is_one_and_padding_is_grey() -> None:
    half_white = Image.new("RGB", (400, 200))
    half_white.paste((255, 255, 255), (200, 0, 400, 200))
    overview = make_views(half_white, get_mode("base")).overview
    assert (overview.min().item(), overview.max().item()) == (-1, 1)
    assert torch.equal(pixels(overview)[:, 0, 0], torch.tensor(PADDING_COLOUR, dtype=torch.uint8))


def test_a_squashed_view_has_no_padding() -> None:
    assert make_views(Image.new("RGB", (900, 90)), get_mode("tiny")).overview.unique().tolist() == [-1]


@pytest.mark.parametrize("size", [(20_000, 8), (8, 20_000)])
def test_the_longest_strip_keeps_at_least_one_pixel(size: tuple[int, int]) -> None:
    overview = make_views(Image.new("RGB", size), get_mode("base")).overview
    assert (overview == -1).sum() == 3 * 1024


def test_a_page_without_tiles_joins_one_with_tiles() -> None:
    small = make_views(Image.new("RGB", (100, 100)), get_mode("tiny"))
    large = make_views(Image.new("RGB", (900, 1300)), get_mode("gundam"))
    assert len(torch.cat([small.tiles, large.tiles])) == 6


def test_an_unknown_mode_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="mode 'huge' is unknown; known: tiny, small, base, large, gundam, gundam-m"):
        get_mode("huge")


def pixels(view: torch.Tensor) -> torch.Tensor:
    return view.float().mul_(0.5).add_(0.5).mul_(255).round_().to(torch.uint8)


def fingerprint(view: torch.Tensor) -> str:
    """The goldens hash the view as bytes 0-255, channel first."""
    return hashlib.sha256(np.ascontiguousarray(pixels(view).numpy()).tobytes()).hexdigest()[:16]
