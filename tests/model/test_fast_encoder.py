"""The fast encoder sees what the plain one sees, and pages together are seen as each alone."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from PIL import Image

from dsocr.kernels.library import level
from dsocr.model.config import read_config
from dsocr.model.deep_encoder import PIXELS_AT_ONCE
from dsocr.model.fast_encoder import FastClipLayer, FastSamLayer, remember_tables, speed_up_encoder
from dsocr.model.weights import load_network
from dsocr.pages import get_mode
from dsocr.pages.tiling import make_views

GOLDEN = Path(__file__).parents[1] / "golden" / "micro"
NANO = Path(__file__).parents[2] / "dsocr" / "nano"
CPU = torch.device("cpu")
PAGE = Image.open(GOLDEN / "page.png").convert("RGB")
needs_core = pytest.mark.skipif(level() != "avx512", reason="there is no compiled core with bfloat16 arithmetic here")
needs_vectors = pytest.mark.skipif(level() in (None, "plain"), reason="there is no compiled core with vectors here")


def encoder(dtype, folder=GOLDEN):
    return load_network(folder, read_config(folder), 2, device=CPU, dtype=dtype).deep_encoder


def views(mode="tiny", turned=False):
    return make_views(PAGE.rotate(180) if turned else PAGE, get_mode(mode))


def error(found, exact):
    return float((found.to(exact.dtype) - exact).norm() / exact.norm())


@pytest.mark.parametrize(
    ("dtype", "factor", "beside", "most"),
    [
        pytest.param(torch.bfloat16, 1.2, 1e-3, 0.1, marks=needs_core),
        pytest.param(torch.float32, 2.0, 0.0, 1e-5, marks=needs_vectors),
    ],
    ids=["bfloat16", "float32"],
)
@pytest.mark.parametrize("mode", ["tiny", "small", "base"])
@pytest.mark.parametrize("folder", [GOLDEN, NANO], ids=["micro", "nano"])
def test_fast_is_as_exact_as_plain(folder, mode, dtype, factor, beside, most):
    page, plain = views(mode), encoder(dtype, folder)
    exact = deepcopy(plain).double().read(page)
    before = error(plain.read(page), exact)
    assert speed_up_encoder(plain)
    assert all(isinstance(layer, FastSamLayer) for layer in plain.sam.layers)
    assert all(isinstance(layer, FastClipLayer) for layer in plain.clip.layers)
    assert error(plain.read(page), exact) < factor * before + beside < most


@pytest.mark.parametrize(
    ("dtype", "folder", "most"),
    [
        pytest.param(torch.bfloat16, GOLDEN, 0.01, marks=needs_core),
        pytest.param(torch.float32, GOLDEN, 1e-6, marks=needs_vectors),
        pytest.param(torch.float32, NANO, 1e-6, marks=needs_vectors),
    ],
    ids=["micro in bfloat16", "micro", "nano"],
)
def test_pages_are_read_alike_alone_and_together_at_speed(dtype, folder, most):
    fast, pages = encoder(dtype, folder), [views("small"), views("gundam"), views("small", turned=True)]
    assert speed_up_encoder(fast)
    for together, page in zip(fast.read_many(pages), pages, strict=True):
        assert error(together, fast.read(page).float()) < most


def test_remembered_tables_are_those_that_would_be_worked_out_anew():
    plain, pages = encoder(torch.float32), [views("tiny"), views("gundam"), views("tiny", turned=True)]
    found = [plain.read(page) for page in pages]
    remember_tables(plain)
    for rows, page in zip(found, pages, strict=True):
        assert torch.equal(plain.read(page), rows)


def test_pages_of_any_modes_are_read_exactly_alike_alone_and_together():
    plain = encoder(torch.float32)
    pages = [views("tiny"), views("gundam"), views("small"), views("tiny", turned=True)]
    together = plain.read_many(pages)
    assert [len(rows) for rows in together] == [len(page.layout) for page in pages]
    assert all(torch.equal(rows, plain.read(page)) for rows, page in zip(together, pages, strict=True))
    assert not torch.equal(together[0], together[3])


def test_a_group_is_bounded_by_its_pixels(monkeypatch):
    monkeypatch.setitem(PIXELS_AT_ONCE, "cpu", 3 * 512**2)
    plain, seen = encoder(torch.float64), []
    plain.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
    plain.read_many([views("small"), *[views("tiny")] * 5])
    assert sorted(seen) == [(1, 3, 640, 640), (2, 3, 512, 512), (3, 3, 512, 512)]


def test_no_pages_are_no_rows():
    assert encoder(torch.float32).read_many([]) == []


@pytest.mark.parametrize("given", [torch.float64, torch.float16])
def test_other_numbers_stay_with_the_plain_layers(given):
    plain = encoder(given)
    before = list(plain.sam.layers)
    assert not speed_up_encoder(plain)
    assert list(plain.sam.layers) == before


def test_without_a_core_the_plain_layers_stay(monkeypatch):
    monkeypatch.setattr("dsocr.model.fast_encoder.core", lambda: None)
    assert not speed_up_encoder(encoder(torch.bfloat16))


@needs_core
def test_what_is_fast_already_is_left_alone():
    fast = encoder(torch.bfloat16)
    assert speed_up_encoder(fast)
    assert not speed_up_encoder(fast)
