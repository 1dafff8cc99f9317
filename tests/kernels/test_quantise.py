"""Weights in few bits: what is packed comes back nearly the same, and the compiled packer packs the same."""

from __future__ import annotations

import pytest
import torch

from dsocr.kernels.library import core
from dsocr.kernels.quantise import pack, pack_plain, round_activations, unpack

# Columns that fill groups, that end within one, and a row of zeros; sizes of numbers from tiny to large.
SHAPES = [(3, 40), (7, 160), (5, 128), (2, 6848)]


def weights(rows, columns):
    sizes = torch.logspace(-6, 1, rows)[:, None]
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows)) * sizes
    weight[0] = 0
    return weight


# Of 4 bits there is a -8 and no 8: what lies opposite to the largest number may move by a whole step.
@pytest.mark.parametrize(("bits", "top", "group", "steps"), [(8, 127, 128, 0.51), (4, 8, 32, 1.01)])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_number_moves_further_than_a_step_of_its_group(shape, bits, top, group, steps):
    weight = weights(*shape)
    back = unpack(pack_plain(weight, bits))
    grouped = torch.nn.functional.pad(weight, (0, -shape[1] % group)).reshape(shape[0], -1, group)
    # Steps of 4 bits are stored as halves, and the smallest of those are coarse.
    step = grouped.abs().amax(-1).repeat_interleave(group, 1)[:, : shape[1]] / top
    moved = (back - weight).abs()
    assert (moved <= steps * step + 4e-7).all()
    assert (moved <= 0.51 * step + 4e-7).float().mean() > 0.97
    assert back[0].eq(0).all()


@pytest.mark.parametrize(("bits", "most"), [(8, 0.007), (4, 0.087)])
def test_numbers_that_are_normally_distributed_lose_little(bits, most):
    weight = torch.randn(64, 1280, generator=torch.Generator().manual_seed(1))
    assert (unpack(pack_plain(weight, bits)) - weight).norm() < most * weight.norm()


@pytest.mark.parametrize("bits", [8, 4])
def test_what_is_packed_needs_about_as_many_bits_as_it_says(bits):
    packed = pack_plain(weights(8, 1280), bits)
    stored = packed.data.numel() + packed.scales.numel() * packed.scales.element_size()
    assert stored * 8 / (8 * 1280) < bits + 0.6


@pytest.mark.skipif(core() is None, reason="the core is not compiled here")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_core_packs_as_its_plain_twin(shape, bits, dtype):
    weight = weights(*shape).to(dtype)
    fast, plain = pack(weight, bits), pack_plain(weight, bits)
    assert torch.equal(fast.data, plain.data)
    assert torch.equal(fast.scales, plain.scales)
    assert (fast.columns, fast.bits) == (plain.columns, plain.bits) == (shape[1], bits)


def test_activations_are_rounded_to_a_254th_of_their_groups_range():
    x = weights(5, 300)
    rounded = round_activations(x)
    for start in (0, 128, 256):
        part, back = x[:, start : start + 128], rounded[:, start : start + 128]
        assert ((part - back).abs() <= part.abs().amax(-1, keepdim=True) / 253).all()
