"""bfloat16 in 12 bits: nothing is lost, and products come out as those of the weights themselves, to the last bit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsocr.kernels.decoder_core import product
from dsocr.kernels.huge_pages import HugePages
from dsocr.kernels.library import core
from dsocr.kernels.twelve import GROUP, pack_twelve, pack_twelve_plain, unpack_twelve

needs_core = pytest.mark.skipif(core() is None, reason="the core is not compiled here")
# Rows and columns that end within four and within a group, and those of the release.
SHAPES = [(7, 40), (1, 1000), (271, 320), (130, 1280), (12, 896), (9, 1792), (6, 6848)]


def drawn(rows, columns):
    """Weights as trained ones are spread, with zeros of both signs, one far too large and some far too small."""
    generator = torch.Generator().manual_seed(rows)
    weight = (torch.randn(rows, columns, generator=generator) * 0.02).bfloat16()
    weight[-1, 3], weight[-1, 5], weight[0, 20], weight[0, columns - 1] = 0.0, -0.0, 300.0, -1e-30
    weight[rows // 2, ::100] = 1e-9
    return weight


def bits(weight):
    return weight.contiguous().view(torch.int16)


def same(found, wanted):
    assert torch.equal(found.data, wanted.data)
    assert torch.equal(found.beside, wanted.beside)
    assert (found.rows, found.columns) == (wanted.rows, wanted.columns)


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_lost(shape):
    weight = drawn(*shape)
    packed = pack_twelve(weight)
    assert torch.equal(bits(unpack_twelve(packed)), bits(weight))
    whole = -(-shape[0] // 4) * 4 * -(-shape[1] // GROUP) * GROUP
    assert packed.data.nbytes == whole * 3 // 2


@given(st.integers(0, 2**32), st.floats(0.05, 12.0), st.integers(1, 9), st.integers(1, 300))
@settings(max_examples=60, deadline=None)
def test_numbers_of_any_spread_are_kept_or_refused(seed, spread, rows, columns):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator) * torch.exp2(
        torch.randn(rows, columns, generator=generator) * spread
    )
    packed = pack_twelve(weight.bfloat16())
    if packed is not None:
        assert torch.equal(bits(unpack_twelve(packed)), bits(weight.bfloat16()))
    if spread < 0.5 and rows * columns > 1000:
        assert packed is not None
    if spread > 8 and rows * columns > 1000:
        assert packed is None


def test_every_number_there_is_is_kept():
    """Infinities, what is no number, the smallest ones: all 65,536, each among many that are usual."""
    weight = torch.full((65536 // 16, 1280), 0.02).bfloat16()
    weight[:, :16] = torch.arange(65536, dtype=torch.int32).to(torch.int16).view(torch.bfloat16).reshape(-1, 16)
    for pack in (pack_twelve, pack_twelve_plain):
        assert torch.equal(bits(unpack_twelve(pack(weight))), bits(weight))


@pytest.mark.parametrize("pack", [pack_twelve, pack_twelve_plain])
def test_what_would_be_listed_for_the_most_part_is_refused(pack):
    wide = torch.exp2(torch.linspace(-60, 60, 4 * 256)).reshape(4, 256).bfloat16()
    assert pack(wide) is None
    assert pack(torch.zeros(1, (1 << 15) + 1, dtype=torch.bfloat16)) is None


@needs_core
@pytest.mark.parametrize("shape", SHAPES)
def test_every_core_packs_as_the_plain_twin_does(library, shape):
    weight = drawn(*shape)
    same(pack_twelve(weight, HugePages()), pack_twelve_plain(weight))


@needs_core
@pytest.mark.parametrize("shape", SHAPES)
def test_products_are_those_of_the_weights_themselves(library, shape):
    weight = drawn(*shape)
    packed = pack_twelve(weight)
    for count in (1, 2, 3, 4, 9):
        x = torch.randn(count, shape[1], generator=torch.Generator().manual_seed(count))
        assert torch.equal(product(packed, x), product(weight, x))


def test_without_a_core_the_plain_twin_packs(monkeypatch):
    monkeypatch.setattr("dsocr.kernels.twelve.core", lambda: None)
    weight = drawn(9, 300)
    same(pack_twelve(weight), pack_twelve_plain(weight))
