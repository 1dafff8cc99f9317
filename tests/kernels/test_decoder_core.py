"""The compiled core multiplies as its plain twins do, and no row of a product depends on its neighbours."""

from __future__ import annotations

import pytest
import torch

from dsocr.kernels.decoder_core import product
from dsocr.kernels.library import core
from dsocr.kernels.quantise import pack, round_activations, unpack

pytestmark = pytest.mark.skipif(core() is None, reason="the core is not compiled here")
# Rows and columns that end within a tile and within a vector, and those of the release.
SHAPES = [(7, 40), (271, 320), (130, 1280), (12, 896), (9, 1792), (6, 6848)]


def drawn(rows, columns):
    generator = torch.Generator().manual_seed(rows)
    return torch.randn(rows, columns, generator=generator) * 0.05, torch.randn(9, columns, generator=generator)


def close(found, wanted):
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=3e-6 * float(wanted.abs().max()))


@pytest.mark.parametrize("shape", SHAPES)
def test_float_weights_multiply_as_they_do_in_torch(library, shape):
    weight, x = drawn(*shape)
    close(product(weight, x), x @ weight.T)


@pytest.mark.parametrize("shape", SHAPES)
def test_float_weights_that_fit_into_bfloat16_stay_exact(library, shape):
    weight, x = drawn(*shape)
    weight = weight.bfloat16().float()
    close(product(weight, x), x @ weight.T)


@pytest.mark.parametrize("shape", SHAPES)
def test_bfloat16_weights_meet_activations_rounded_alike(library, shape):
    weight, x = drawn(*shape)
    close(product(weight.bfloat16(), x), x.bfloat16().float() @ weight.bfloat16().float().T)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_packed_weights_multiply_as_they_do_unpacked(library, shape, bits):
    weight, x = drawn(*shape)
    packed = pack(weight, bits)
    close(product(packed, x), round_activations(x) @ unpack(packed).T)


@pytest.mark.parametrize("columns", [40, 896, 1280, 1792, 6848])
@pytest.mark.parametrize("form", ["float32", "bfloat16", "int8", "int4"])
@pytest.mark.parametrize("rows", [14, 140])  # a row alone meets 64 of the weights' at once where they are whole fours
def test_a_row_is_the_same_to_the_last_bit_alone_and_among_others(library, form, columns, rows):
    weight, x = drawn(rows, columns)
    weight = pack(weight, int(form[3:])) if "int" in form else weight.to(getattr(torch, form))
    together = product(weight, x)
    for count in (1, 2, 3, 5):
        assert torch.equal(product(weight, x[:count]), together[:count])


@pytest.mark.parametrize("columns", [40, 896, 6848])
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("spoilt", [float("nan"), float("inf")])
def test_what_is_no_number_stays_none_and_spoils_no_other_row(library, columns, bits, spoilt):
    weight, x = drawn(14, columns)
    weight, whole = pack(weight, bits), product(pack(weight, bits), x)
    x[1, columns // 2] = spoilt
    found = product(weight, x)
    assert found[1].isnan().all()
    assert torch.equal(found[2:], whole[2:])


@pytest.mark.parametrize("bits", [8, 4])
def test_numbers_next_to_nothing_are_nothing(library, bits):
    weight, x = drawn(14, 896)
    assert product(pack(weight, bits), x * 1e-40).abs().max() < 1e-37
