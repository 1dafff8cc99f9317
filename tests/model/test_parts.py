"""Each part of the network against a plain twin that computes it number by number."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from dsocr.model import sam
from dsocr.model.clip import quick_gelu
from dsocr.model.config import read_config
from dsocr.model.decoder import RMSNorm, causal_attention, rope_tables, rotate
from dsocr.model.moe import MixtureOfExperts
from dsocr.model.sam import RelativeAttention, cut_windows, join_windows, resize_table, spread_table
from dsocr.views import VisionLayout

DECODER = read_config(Path(__file__).parents[1] / "golden" / "micro").decoder
SMALL = st.integers(1, 9)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def randomise(module):
    """Every weight drawn anew, so that no zero or one hides a mistake."""
    for place, parameter in enumerate(module.parameters()):
        parameter.data = drawn(*parameter.shape, seed=place) / math.sqrt(parameter.shape[-1])
    return module.requires_grad_(False)


@given(st.integers(1, 2), SMALL, SMALL, st.integers(1, 5))
def test_windows_joined_are_the_sheet_that_was_cut(batch, rows, columns, window):
    sheet = drawn(batch, rows, columns, 2)
    windows = cut_windows(sheet, window)
    assert windows.shape == (batch * math.ceil(rows / window) * math.ceil(columns / window), window, window, 2)
    assert torch.equal(join_windows(windows, window, rows, columns), sheet)


def test_windows_go_row_by_row_and_are_padded_with_zeros():
    windows = cut_windows(torch.arange(1.0, 16).reshape(1, 3, 5, 1), 2)[..., 0]
    assert windows[0].tolist() == [[1, 2], [6, 7]]
    assert windows[2].tolist() == [[5, 0], [10, 0]]
    assert windows[5].tolist() == [[15, 0], [0, 0]]


def relative_attention_twin(attention, sheet):
    """One image [h, w, width], head by head and place by place; the tables fit the sheet."""
    rows, columns, width = sheet.shape
    seen = torch.zeros(rows, columns, attention.heads, width // attention.heads)
    q, k, v = attention.qkv(sheet).reshape(rows, columns, 3, *seen.shape[2:]).unbind(2)
    for y, x, head in product(range(rows), range(columns), range(attention.heads)):
        logits = torch.zeros(rows, columns)
        for other_y, other_x in product(range(rows), range(columns)):
            by_row = attention.row_table[y - other_y + rows - 1]
            by_column = attention.column_table[x - other_x + columns - 1]
            key = k[other_y, other_x, head] / math.sqrt(width // attention.heads)
            logits[other_y, other_x] = q[y, x, head] @ (key + by_row + by_column)
        seen[y, x, head] = (logits.flatten().softmax(0).reshape(rows, columns, 1) * v[:, :, head]).sum((0, 1))
    return attention.out(seen.flatten(2))


@pytest.mark.parametrize("learning", [False, True])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(3, 3), (2, 4)])
def test_relative_attention_is_its_quadruple_loop(rows, columns, fused, learning, monkeypatch):
    monkeypatch.setattr(sam, "_fuses", lambda q: fused)
    attention = randomise(RelativeAttention(6, heads=2, side=rows))
    attention.column_table = torch.nn.Parameter(drawn(2 * columns - 1, 3), requires_grad=False)
    sheet = drawn(2, rows, columns, 6, seed=9)
    twin = torch.stack([relative_attention_twin(attention, image) for image in sheet])
    with torch.set_grad_enabled(learning):
        assert_close(attention(sheet), twin, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fused_attention_learns_what_the_plain_one_learns(dtype, monkeypatch):
    attention = randomise(RelativeAttention(64, heads=2, side=22)).requires_grad_(True)
    sheet = drawn(2, 5, 5, 64, seed=9)

    def learnt(fused):
        monkeypatch.setattr(sam, "_fuses", lambda q: fused)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            attended = attention(sheet)
        assert attended.dtype == dtype
        return [attended, *torch.autograd.grad(attended.square().mean(), list(attention.parameters()))]

    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    for plain, fused in zip(learnt(False), learnt(True), strict=True):
        assert (plain - fused).norm() <= tolerance * plain.norm()


@given(SMALL, SMALL)
def test_a_relative_table_is_stretched_along_straight_lines(stored, side):
    table = drawn(2 * stored - 1, 2)
    spread = spread_table(table, side)
    assert spread.shape == (side, side, 2)
    for a, b in product(range(side), repeat=2):
        place = (a - b + side - 1 + 0.5) * (2 * stored - 1) / (2 * side - 1) - 0.5
        place = min(max(place, 0), 2 * stored - 2)
        low, share = int(place), place - int(place)
        high = min(low + 1, 2 * stored - 2)
        assert_close(spread[a, b], table[low] * (1 - share) + table[high] * share, atol=1e-4, rtol=1e-4)


def cubic(distance):
    """The bicubic kernel with a = -0.5."""
    t = abs(distance)
    if t >= 2:
        return 0.0
    return 1.5 * t**3 - 2.5 * t**2 + 1 if t < 1 else -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2


def resampling(stored, side):
    """[side, stored]: the kernel widened when shrinking, cut off at the border and summing to one."""
    scale = stored / side
    rows = [
        [cubic((place + 0.5 - (at + 0.5) * scale) / max(scale, 1)) for place in range(stored)] for at in range(side)
    ]
    weights = torch.tensor(rows)
    return weights / weights.sum(1, keepdim=True)


@pytest.mark.parametrize("side", [5, 8, 10, 20])
def test_a_position_table_is_resized_by_antialiased_bicubic_both_ways(side):
    table = drawn(1, 16, 16, 3)
    by = resampling(16, side)
    twin = torch.einsum("ay,bx,zyxc->zabc", by, by, table)
    assert_close(resize_table(table, side), twin, atol=1e-5, rtol=1e-5)


def test_a_position_table_of_the_right_size_is_left_alone():
    table = drawn(1, 16, 16, 3)
    assert resize_table(table, 16) is table


def test_tokens_lie_in_prompt_order_on_a_grid_that_is_not_square():
    layout = VisionLayout(overview_side=2, tile_side=2, rows=2, columns=3)
    newline, separator = torch.tensor([-1.0]), torch.tensor([-2.0])
    tiles = torch.arange(24.0).reshape(6, 4, 1)  # four tokens a tile, tiles from the top left
    overview = torch.arange(100.0, 104).reshape(4, 1)
    assert layout.arrange(overview, tiles, newline, separator)[:, 0].tolist() == [
        *(0, 1, 4, 5, 8, 9, -1),
        *(2, 3, 6, 7, 10, 11, -1),
        *(12, 13, 16, 17, 20, 21, -1),
        *(14, 15, 18, 19, 22, 23, -1),
        *(100, 101, -1, 102, 103, -1, -2),
    ]
    assert len(layout) == 35
    assert layout.vision_tokens == 28


def test_rotary_positions_turn_channel_i_with_channel_i_plus_half():
    x = drawn(1, 2, 5, 12)  # [b, heads, n, head dim]
    turned = rotate(x, rope_tables(torch.arange(7, 12), DECODER, x))
    for place, channel in product(range(5), range(6)):
        angle = (7 + place) * 10000 ** (-2 * channel / 12)
        first, second = x[..., place, channel], x[..., place, channel + 6]
        cos, sin = math.cos(angle), math.sin(angle)
        assert_close(turned[..., place, channel], first * cos - second * sin, atol=1e-5, rtol=1e-5)
        assert_close(turned[..., place, channel + 6], second * cos + first * sin, atol=1e-5, rtol=1e-5)


@given(st.integers(0, 200), st.integers(0, 50))
def test_rotated_products_know_only_the_distance(start, distance):
    q, k = drawn(1, 1, 1, 12, seed=1), drawn(1, 1, 1, 12, seed=2)

    def product_at(place):
        return (
            rotate(q, rope_tables(torch.tensor([place + distance]), DECODER, q))
            * rotate(k, rope_tables(torch.tensor([place]), DECODER, k))
        ).sum()

    assert_close(product_at(start), product_at(0), atol=1e-3, rtol=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(0, 5), st.sampled_from([1, 2, 4]))
def test_causal_attention_is_its_loop_over_places_and_heads(count, before, kv_heads):
    total = before + count
    q, k, v = drawn(1, 4, count, 6), drawn(1, kv_heads, total, 6, seed=1), drawn(1, kv_heads, total, 6, seed=2)
    twin = torch.empty_like(q)
    for head, place in product(range(4), range(count)):
        shared, end = head // (4 // kv_heads), before + place + 1
        weights = (k[0, shared, :end] @ q[0, head, place] / math.sqrt(6)).softmax(0)
        twin[0, head, place] = weights @ v[0, shared, :end]
    assert_close(causal_attention(q, k, v), twin, atol=1e-5, rtol=1e-5)


def swiglu_twin(expert, x):
    gate = expert.gate.weight @ x
    return expert.down.weight @ (gate * torch.sigmoid(gate) * (expert.up.weight @ x))


@pytest.mark.parametrize(("renormalise", "scale"), [(False, 1.0), (True, 1.0), (False, 2.5)])
def test_a_mixture_of_experts_is_its_loop_over_tokens(renormalise, scale):
    mixture = randomise(MixtureOfExperts(replace(DECODER, renormalise=renormalise, routed_scale=scale)))
    x = drawn(2, 7, 48, seed=99)
    twin = torch.empty_like(x)
    for row, place in product(range(2), range(7)):
        token = x[row, place]
        shares = (mixture.router.weight @ token).softmax(0)
        chosen = shares.argsort(descending=True)[:3].tolist()
        whole = sum(shares[expert] for expert in chosen) if renormalise else 1.0
        routed = sum(shares[expert] / whole * swiglu_twin(mixture.experts[expert], token) for expert in chosen)
        twin[row, place] = routed * scale + swiglu_twin(mixture.shared, token)
    assert_close(mixture(x), twin, atol=1e-5, rtol=1e-5)


def test_in_training_an_expert_gets_even_numbers_of_rows_and_learns_the_same(monkeypatch):
    mixture, seen, learned = randomise(MixtureOfExperts(DECODER)).requires_grad_(), [], []
    x = drawn(2, 70, DECODER.width)
    for expert in mixture.experts:
        expert.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    for rows in (64, 1):
        monkeypatch.setattr("dsocr.model.moe._ROWS", rows)
        seen.clear()
        mixture.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            out = mixture(x)
        out.float().square().sum().backward()
        assert all(count % rows == 0 for count in seen)
        learned.append([out, *(weight.grad for weight in mixture.parameters())])
    assert any(count % 64 for count in seen)
    for filled, plain in zip(*learned, strict=True):
        assert (filled - plain).norm() < 1e-2 * plain.norm()


def test_a_router_in_bfloat16_chooses_in_float32():
    mixture = randomise(MixtureOfExperts(DECODER)).bfloat16()
    tokens = drawn(5, 48).bfloat16()
    weights, chosen = mixture.route(tokens)
    shares = (tokens.float() @ mixture.router.weight.float().T).softmax(-1)
    assert weights.dtype == torch.float32
    assert_close(weights, shares.gather(1, chosen))


def test_rms_norm_divides_by_the_root_of_the_mean_square():
    norm = randomise(RMSNorm(8, eps=1e-2))
    x = drawn(3, 8)
    for row, normed in zip(x, norm(x), strict=True):
        root = math.sqrt(sum(value**2 for value in row.tolist()) / 8 + 1e-2)
        assert_close(normed, row / root * norm.weight)


def test_rms_norm_rounds_before_the_weight_and_not_before_the_root():
    norm = randomise(RMSNorm(8, eps=1e-6)).bfloat16()
    x = drawn(3, 8).bfloat16()
    exact = F.rms_norm(x.float(), (8,), eps=1e-6)
    assert torch.equal(norm(x), exact.bfloat16() * norm.weight)


def test_quick_gelu_is_a_sigmoid_of_1_702():
    for value in (-3.0, -0.5, 0.0, 0.7, 4.0):
        assert_close(quick_gelu(torch.tensor(value)), torch.tensor(value / (1 + math.exp(-1.702 * value))))
