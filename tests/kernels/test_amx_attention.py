"""Attention that is learned from, and its gradients, against the plain twin in float32 on the same bfloat16 numbers."""

from __future__ import annotations

import pytest
import torch

from dsocr.kernels.amx_attention import amx_attention, takes_attention
from dsocr.kernels.library import core

RUNS = core() is not None and core().amx_attention_runs()
pytestmark = pytest.mark.skipif(not RUNS, reason="no compiled core, or no tiles on this CPU")
# Heads, places, width of queries and keys, of values, causal: places that fill blocks of 32 and that do not, one block,
# widths that have to be filled up.
SHAPES = [
    ((3,), 32, 32, 32, False),
    ((2, 2), 1, 64, 64, False),
    ((5,), 45, 64, 64, True),
    ((2, 3), 100, 64, 64, True),
    ((3,), 101, 64, 32, False),
    ((2,), 484, 76, 32, False),
    ((1,), 300, 16, 20, True),
]


def plain(q, k, v, scale, causal):
    logits = q @ k.transpose(-1, -2) * scale
    if causal:
        logits = logits.masked_fill(torch.ones(logits.shape[-2:]).triu(1).bool(), float("-inf"))
    return logits.softmax(-1) @ v


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("heads", "places", "wide", "deep", "causal"), SHAPES)
def test_it_gathers_and_learns_as_its_plain_twin(heads, places, wide, deep, causal, threads):
    generator = torch.Generator().manual_seed(places)
    q, k, v, wanted = (torch.randn(*heads, places, n, generator=generator).bfloat16() for n in (wide, wide, deep, deep))
    own = [each.clone().requires_grad_() for each in (q, k, v)]
    exact = [each.float().requires_grad_() for each in (q, k, v)]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        out = amx_attention(*own, wide**-0.5, causal=causal)
        out.backward(wanted)
    finally:
        torch.set_num_threads(before)
    expected = plain(*exact, wide**-0.5, causal)
    expected.backward(wanted.float())
    pairs = [(out, expected), *((one.grad, other.grad) for one, other in zip(own, exact, strict=True))]
    for seen, right in pairs:
        assert seen.shape == right.shape
        assert seen.dtype == torch.bfloat16
        apart = (seen.float() - right).norm()
        assert apart < 0.01 * right.norm() + 1e-3 * places**0.5  # a lone place has no gradients but of v


@pytest.mark.parametrize("causal", [False, True])
def test_what_a_place_finds_depends_on_no_other_that_asks(causal):
    generator = torch.Generator().manual_seed(3)
    q, k, v = (torch.randn(1, 300, 64, generator=generator).bfloat16() for _ in range(3))
    others = torch.arange(300) % 3 > 0
    changed = torch.where(others[:, None], q * 8, q)
    found, again = (amx_attention(each, k * 4, v, 1.0, causal=causal) for each in (q, changed))
    assert torch.equal(found[:, ~others], again[:, ~others])


def test_far_logits_neither_overflow_nor_vanish():
    q = torch.full((1, 64, 32), 30.0).bfloat16().requires_grad_()
    k = torch.randn(1, 64, 32, generator=torch.Generator().manual_seed(1)).bfloat16() * 30
    v = torch.randn(1, 64, 32, generator=torch.Generator().manual_seed(2)).bfloat16()
    out = amx_attention(q, k, v, 1.0, causal=True)
    torch.testing.assert_close(out.float(), plain(q.float(), k.float(), v.float(), 1.0, True), atol=0.02, rtol=0.02)
    out.sum().backward()
    assert q.grad.isfinite().all()


def test_it_is_taken_in_training_alone():
    q = torch.zeros(1, 2, 32, dtype=torch.bfloat16)
    assert not takes_attention(q)
    with torch.autocast("cpu", torch.bfloat16):
        assert takes_attention(q)
        assert not takes_attention(q.float())
