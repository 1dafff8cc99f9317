"""What a decoder that learns does row by row, each step in one pass over memory: on the compiled core."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dsocr.kernels.library import call, core


def learns_rows(x: Tensor) -> bool:
    """Whether the steps of this module take x: on a CPU, in training with products in bfloat16, and a core is built."""
    return x.device.type == "cpu" and in_training() and core() is not None


def in_training() -> bool:
    """Whether products of float32 weights are made in bfloat16, which only training asks for."""
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


def norm_rows(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMSNorm of float32 rows [n, width], in bfloat16."""
    result: Tensor = _Norm.apply(x, weight, eps)  # type: ignore[no-untyped-call]
    return result


def turn_rows(rows: Tensor, rope: tuple[Tensor, Tensor] | None, pages: int, dim: int) -> Tensor:
    """bfloat16 rows [pages · n, heads · dim] → [pages, heads, n, dim], rotated by cos and sin [pages · n, dim]."""
    cos, sin = rope or (None, None)
    result: Tensor = _Turn.apply(rows, cos, sin, pages, dim)  # type: ignore[no-untyped-call]
    return result


def gate_rows(gate: Tensor, up: Tensor, shares: Tensor | None = None) -> Tensor:
    """silu(gate) · up of bfloat16 rows [n, groups · width]; each group times its share [n, groups], float32."""
    result: Tensor = _Gate.apply(gate, up, shares)  # type: ignore[no-untyped-call]
    return result


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        x, weight = x.float().contiguous(), weight.float()
        out, inverses = torch.empty_like(x, dtype=torch.bfloat16), x.new_empty(len(x))
        _call("learned_norm", x, weight, out, inverses, *x.shape, eps)
        ctx.save_for_backward(x, weight, inverses)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, wanted: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, inverses = ctx.saved_tensors
        for_x, for_weight = torch.empty_like(x), torch.zeros_like(weight)
        _call("learned_norm_back", x, weight, inverses, wanted.contiguous(), for_x, for_weight, *x.shape)
        return for_x, for_weight, None


class _Turn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, cos: Tensor | None, sin: Tensor | None, pages: int, dim: int) -> Tensor:
        assert rows.dtype == torch.bfloat16
        rows = rows.contiguous()
        if cos is not None and sin is not None:
            cos, sin = cos.float().contiguous(), sin.float().contiguous()
            assert cos.shape == sin.shape == (len(rows), dim)
        ctx.sizes = sizes = (pages, len(rows) // pages, rows.shape[1] // dim, dim)
        ctx.rope = cos, sin
        out = rows.new_empty(sizes[0], sizes[2], sizes[1], dim)
        _call("learned_turn", rows, cos, sin, out, *sizes, 0)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, wanted: Tensor) -> tuple[Tensor | None, ...]:
        pages, places, heads, dim = ctx.sizes
        for_rows = wanted.new_empty(pages * places, heads * dim)
        _call("learned_turn", wanted.contiguous(), *ctx.rope, for_rows, *ctx.sizes, 1)
        return for_rows, None, None, None, None


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor, shares: Tensor | None) -> Tensor:
        assert gate.dtype == up.dtype == torch.bfloat16
        assert gate.shape == up.shape
        gate, up = gate.contiguous(), up.contiguous()
        shares = shares.float().contiguous() if shares is not None else None
        groups = shares.shape[1] if shares is not None else 1
        ctx.sizes = sizes = (len(gate), groups, gate.shape[1] // groups)
        out = torch.empty_like(gate)
        _call("learned_gate", gate, up, shares, out, *sizes)
        ctx.save_for_backward(gate, up, shares)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, wanted: Tensor) -> tuple[Tensor | None, ...]:
        gate, up, shares = ctx.saved_tensors
        for_gate, for_up = torch.empty_like(gate), torch.empty_like(up)
        for_shares = torch.empty_like(shares) if shares is not None else None
        _call("learned_gate_back", gate, up, shares, wanted.contiguous(), for_gate, for_up, for_shares, *ctx.sizes)
        return for_gate, for_up, for_shares


def _call(name: str, *given: Tensor | int | float | None) -> None:
    library = core()
    assert library is not None
    call(library, name, *given)
