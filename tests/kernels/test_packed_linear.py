"""Packed linear layers, against `nn.Linear` in float32 with the same weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from dsocr.kernels.packed_linear import PackedLinear, can_pack

SHAPES = [(1, 32, 96), (101, 96, 40), (333, 256, 128)]


@pytest.fixture(params=[torch.bfloat16, torch.float32], ids=["bfloat16", "float32"])
def dtype(request):
    return request.param


def drawn(rows, inside, outside, dtype):
    torch.manual_seed(rows)
    return nn.Linear(inside, outside).to(dtype).requires_grad_(False), torch.randn(2, rows, inside).to(dtype)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_packed_layer_multiplies_as_the_plain_one(shape, dtype):
    linear, x = drawn(*shape, dtype)
    exact = F.linear(x.float(), linear.weight.float(), linear.bias.float())
    found = PackedLinear(linear)(x)
    assert found.dtype == dtype
    assert_close(found.float(), exact, rtol=2**-8 if dtype == torch.bfloat16 else 1e-5, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_its_gelu_is_the_exact_one(shape, dtype):
    linear, x = drawn(*shape, dtype)
    exact = F.gelu(F.linear(x.float(), linear.weight.float(), linear.bias.float()))
    rtol, atol = (2**-7, 4e-3) if dtype == torch.bfloat16 else (1e-5, 1e-5)
    assert_close(PackedLinear(linear).gelu(x).float(), exact, rtol=rtol, atol=atol)


def test_a_view_of_other_strides_is_multiplied_as_it_is_seen():
    linear, x = drawn(64, 96, 32, torch.bfloat16)
    packed, turned = PackedLinear(linear), x.transpose(0, 1)
    exact = F.linear(turned.float(), linear.weight.float(), linear.bias.float())
    assert_close(packed(turned).float(), exact, rtol=2**-7, atol=1e-2)
    # Unpacked, PyTorch takes other sums for other strides.
    assert not packed.packed or torch.equal(packed(turned), packed(x).transpose(0, 1))


@pytest.mark.parametrize("change", [{"dtype": torch.float64}, {"dtype": torch.float16}, {"device": "meta"}])
def test_what_onednn_does_not_multiply_is_not_packed(change):
    assert not can_pack(torch.zeros(4, 4, **change))
