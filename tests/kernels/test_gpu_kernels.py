"""What runs on a GPU computes what its plain twins do; without one, in Triton's interpreter."""

# ruff: noqa: E402 - Triton asks for its interpreter when it is loaded

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

HERE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if HERE.type == "cpu":
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before Triton is loaded
pytest.importorskip("triton", exc_type=ImportError)

from dsocr.engine.sampling import windowed_ngram_ban
from dsocr.kernels import paged_attention as attention
from dsocr.kernels.experts import Experts, ask, ask_alone, choose, plain_ask, plain_choose
from dsocr.kernels.greedy import Ban, Texts, advance, ban_repeats
from dsocr.kernels.rows import add_norm, linear_alone, plain_add_norm

pytestmark = pytest.mark.filterwarnings("default")
WIDTH, INNER, COUNT, SHARED, PER_TOKEN = 48, 20, 8, 2, 3
# The interpreter's products in bfloat16 are not what a GPU's are.
DTYPES = [torch.float32, torch.float16] + [torch.bfloat16] * (HERE.type == "cuda")
MOST = {torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 4e-2}
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(1)


def drawn(dtype, *shape):
    return (torch.randn(shape) * 0.4).to(HERE, dtype)


def close(found, wanted):
    most = MOST.get(wanted.dtype, 0)
    error = (found.float() - wanted.float()).norm() / wanted.float().norm()
    assert error <= most, f"{float(error):.2e}"


def mixture(dtype, **changes):
    weights = [(COUNT, WIDTH), (COUNT, INNER, WIDTH), (COUNT, INNER, WIDTH), (COUNT, WIDTH, INNER)]
    weights += [(SHARED * INNER, WIDTH), (SHARED * INNER, WIDTH), (WIDTH, SHARED * INNER)]
    return replace(Experts(*(drawn(dtype, *shape) for shape in weights), PER_TOKEN, False, 1.0), **changes)


@dtypes
@pytest.mark.parametrize("heads", [attention.Heads(2, 2, 16), attention.Heads(4, 2, 12)], ids=str)
def test_each_row_attends_to_its_own_blocks_and_stores_its_own_place(dtype, heads, monkeypatch):
    if HERE.type == "cpu":
        monkeypatch.setattr(attention, "splits_for", lambda rows: 4)
    keys, values = (drawn(dtype, 8, 64, heads.kv, heads.dim) for _ in range(2))
    positions = torch.tensor([150, -1, 64, 0], dtype=torch.int32, device=HERE)
    tables = torch.tensor([[5, 2, 7], [5, 5, 5], [1, 3, 0], [4, 6, 0]], dtype=torch.int32, device=HERE)
    angles = torch.outer(torch.arange(200.0), 10000.0 ** -(torch.arange(0, heads.dim, 2) / heads.dim))
    rope = angles.cos().to(HERE, dtype), angles.sin().to(HERE, dtype)
    places, qkv = attention.Places(positions, tables), drawn(dtype, 4, heads.width)
    own = keys.clone(), values.clone()
    wanted = attention.plain_paged_attention(qkv, heads, rope, places, *own)
    found = attention.paged_attention(qkv, heads, rope, places, keys, values)
    rows = [0, 2, 3]
    for one, other in ((found[rows], wanted[rows]), (keys, own[0]), (values, own[1])):
        close(one, other)
    assert found.isfinite().all()


@dtypes
@pytest.mark.parametrize("renormalise", [False, True])
def test_the_experts_of_a_row_are_those_of_the_plain_router(dtype, renormalise):
    experts = mixture(dtype, renormalise=renormalise, scale=1.5)
    x, delta, norm = drawn(dtype, 3, WIDTH), drawn(dtype, 3, WIDTH), drawn(dtype, WIDTH)
    same = x.clone()
    wanted = plain_choose(same, delta, norm, 1e-6, experts)
    found = choose(x, delta, norm, 1e-6, experts)
    close(x, same)
    for one, other in zip(found[:2], wanted[:2], strict=True):
        close(one, other)
    assert torch.equal(found[2], wanted[2])


@dtypes
@pytest.mark.parametrize("rows", [2, 5, 19])
def test_experts_answer_rows_together_as_each_alone(dtype, rows):
    experts = mixture(dtype)
    normed = drawn(dtype, rows, WIDTH)
    chosen = torch.stack([torch.randperm(COUNT)[:PER_TOKEN] for _ in range(rows)]).int().to(HERE)
    chosen[0] = chosen[1]  # some are asked twice, and others by nobody
    close(ask(normed, chosen, experts), plain_ask(normed, chosen, experts))


@dtypes
def test_the_experts_of_one_row_answer_with_their_sum(dtype):
    experts, normed, weights = mixture(dtype), drawn(dtype, 1, WIDTH), torch.rand(1, PER_TOKEN + SHARED, device=HERE)
    chosen = torch.tensor([[6, 0, 3]], dtype=torch.int32, device=HERE)
    wanted = (plain_ask(normed, chosen, experts).float() * weights[..., None]).sum(1, keepdim=True)
    close(ask_alone(normed, chosen, weights, experts), wanted.to(dtype))


@dtypes
def test_answers_are_added_and_normed(dtype):
    norm, answers, weights = drawn(dtype, WIDTH), drawn(dtype, 3, 2, WIDTH), torch.rand(3, 2, device=HERE)
    for said, counted in ((None, None), (answers, None), (answers, weights)):
        x = drawn(dtype, 3, WIDTH)
        same = x.clone()
        close(add_norm(x, said, counted, norm, 1e-6), plain_add_norm(same, said, counted, norm, 1e-6))
        close(x, same)


@dtypes
def test_one_row_is_multiplied_as_torch_does(dtype):
    x, weight = drawn(dtype, 1, WIDTH), drawn(dtype, 21, WIDTH)
    close(linear_alone(x, weight), F.linear(x, weight))


@pytest.mark.parametrize(("ngram", "window"), [(2, 2), (2, 7), (3, 9), (5, 4), (1, 9)])
def test_what_would_repeat_is_banned_as_the_engine_bans_it(ngram, window):
    rows, vocab, steps, never, spared = 3, 5, 14, 4, {1}
    ban, generator = Ban(ngram, window, never), torch.Generator().manual_seed(ngram)
    whole = {"dtype": torch.int32, "device": HERE}
    allowed = torch.tensor([index in spared for index in range(vocab)], dtype=torch.uint8, device=HERE)
    written = torch.full((rows, window + steps), -1, **whole)
    texts = Texts(
        torch.zeros(rows, **whole), torch.tensor([3, -1, 0], **whole), torch.zeros(rows, **whole), written, allowed
    )
    said = [[] for _ in range(rows)]
    for _ in range(steps):
        logits = torch.zeros(rows, vocab, device=HERE)
        ban_repeats(logits, texts, ban)
        for row, text in zip(logits.tolist(), said, strict=True):
            banned = {index for index, logit in enumerate(row) if logit < 0}
            assert banned == windowed_ngram_ban(text, ngram, window, spared) | {never}
        chosen = torch.randint(0, 3, (rows,), generator=generator)
        advance(chosen.to(HERE), texts, ban)
        for text, index in zip(said, chosen.tolist(), strict=True):
            text.append(index)
    assert texts.ids.tolist() == [text[-1] for text in said]
    assert texts.positions.tolist() == [3 + steps, -1, steps]
    assert written[:, window:].tolist() == said
