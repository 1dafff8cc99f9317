"""What lies between the large products of a decoder's layer, on a GPU (Triton): sums, norms, one row's product."""

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from dsocr.kernels.early import Early, wait_for_others

# mypy: disable-error-code="untyped-decorator,no-untyped-def,misc"


def add_norm(x: Tensor, answers: Tensor | None, weights: Tensor | None, norm: Tensor, eps: float) -> Tensor:
    """Adds answers [n, answers, width], weighted by float32 [n, answers], to x [n, width] in place → x normed.

    No weights: each counts once. No answers: x stays as it is.
    """
    normed = torch.empty_like(x)
    count = 0 if answers is None else answers.shape[1]
    _add_norm[(len(x),)](
        *(x, x if answers is None else answers, x if weights is None else weights, norm, normed, eps),
        ANSWERS=count,
        WEIGHTED=weights is not None,
        WIDTH=x.shape[1],
        LANES=triton.next_power_of_2(x.shape[1]),
        num_warps=4,
        **Early.options(),
    )
    return normed


def plain_add_norm(x: Tensor, answers: Tensor | None, weights: Tensor | None, norm: Tensor, eps: float) -> Tensor:
    """The plain twin."""
    if answers is not None:
        each = answers.float() if weights is None else answers.float() * weights[..., None]
        x.copy_(x.float() + each.sum(1))
    exact = x.float()
    return norm * (exact * torch.rsqrt(exact.square().mean(-1, keepdim=True) + eps)).to(x.dtype)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x [n, width] times a weight [outputs, width] → [n, outputs]; for one row, the weight is streamed."""
    return F.linear(x, weight) if len(x) > 1 else linear_alone(x, weight)


def linear_alone(x: Tensor, weight: Tensor, columns: int = 8, warps: int = 4) -> Tensor:
    """x [1, width] times a weight [outputs, width] → [1, outputs]; its plain twin is F.linear."""
    outputs, width = weight.shape
    out = torch.empty(1, outputs, dtype=x.dtype, device=x.device)
    _linear_alone[(triton.cdiv(outputs, columns),)](
        *(x, weight, out, outputs),
        WIDTH=width,
        LANES=triton.next_power_of_2(width),
        COLUMNS=columns,
        num_warps=warps,
        **Early.options(),
    )
    return out


@triton.jit
def _add_norm(
    x,
    answers,
    weights,
    norm,
    normed,
    eps,
    ANSWERS: tl.constexpr,
    WEIGHTED: tl.constexpr,
    WIDTH: tl.constexpr,
    LANES: tl.constexpr,
    EARLY: tl.constexpr,
):
    wait_for_others(EARLY)
    row = tl.program_id(0).to(tl.int64)
    kind = x.dtype.element_ty
    lane = tl.arange(0, LANES)
    inside = lane < WIDTH
    own = tl.load(x + row * WIDTH + lane, mask=inside, other=0.0).to(tl.float32)
    for answer in tl.static_range(ANSWERS):
        said = tl.load(answers + (row * ANSWERS + answer) * WIDTH + lane, mask=inside, other=0.0).to(tl.float32)
        if WEIGHTED:
            said = said * tl.load(weights + row * ANSWERS + answer)
        own += said
    own = own.to(kind)
    if ANSWERS > 0:
        tl.store(x + row * WIDTH + lane, own, mask=inside)
    own = own.to(tl.float32)
    shrunk = (own * tl.rsqrt(tl.sum(own * own, axis=0) / WIDTH + eps)).to(kind).to(tl.float32)
    shrunk = shrunk * tl.load(norm + lane, mask=inside, other=0.0).to(tl.float32)
    tl.store(normed + row * WIDTH + lane, shrunk.to(kind), mask=inside)


@triton.jit
def _linear_alone(
    x,
    weight,
    out,
    outputs,
    WIDTH: tl.constexpr,
    LANES: tl.constexpr,
    COLUMNS: tl.constexpr,
    EARLY: tl.constexpr,
):
    """All of the weight is on its way before anything else is asked for: no other kernel writes it."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    lane = tl.arange(0, LANES)
    known, inside = column < outputs, lane < WIDTH
    offset = column.to(tl.int64)[:, None] * WIDTH + lane[None, :]
    w = tl.load(weight + offset, mask=known[:, None] & inside[None, :], other=0.0)
    wait_for_others(EARLY)
    own = tl.load(x + lane, mask=inside, other=0.0).to(tl.float32)
    result = tl.sum(w.to(tl.float32) * own[None, :], axis=1)
    tl.store(out + column, result.to(out.dtype.element_ty), mask=known)
