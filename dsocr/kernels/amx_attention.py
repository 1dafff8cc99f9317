"""Attention on a CPU that multiplies tiles of bfloat16 (Intel's AMX), and what is learned from it."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from dsocr.kernels.learned_rows import in_training
from dsocr.kernels.library import call, core

_WIDTH = 32  # heads' widths are filled up to a multiple


def takes_attention(q: Tensor) -> bool:
    """Whether q is taken in training: bfloat16 on a CPU with tiles, and the core is built."""
    return q.dtype == torch.bfloat16 and q.device.type == "cpu" and in_training() and has_tiles()


def has_tiles() -> bool:
    """Whether this CPU multiplies tiles, and the core that makes use of them is built."""
    return _core() is not None


def amx_attention(q: Tensor, k: Tensor, v: Tensor, scale: float, *, causal: bool = False) -> Tensor:
    """softmax(scale · q · kᵀ) · v: q, k [.., n, wide] and v [.., n, deep], bfloat16 → as v, with gradients.

    The matrix of weights is never whole: it is made again for the gradients (Dao, FlashAttention, 2022).
    """
    wide, deep = -q.shape[-1] % _WIDTH, -v.shape[-1] % _WIDTH
    if wide:
        q, k = F.pad(q, (0, wide)), F.pad(k, (0, wide))
    result: Tensor = _Attention.apply(q, k, F.pad(v, (0, deep)) if deep else v, scale, causal)  # type: ignore[no-untyped-call]
    return result[..., : v.shape[-1]] if deep else result


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool) -> Tensor:
        library = _core()
        assert library is not None
        assert q.dtype == k.dtype == v.dtype == torch.bfloat16
        assert q.shape == k.shape == (*v.shape[:-1], q.shape[-1])
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        out, logs = torch.empty_like(v), q.new_empty(q.shape[:-1], dtype=torch.float32)
        call(library, "amx_attention", q, k, v, out, logs, *_sizes(q, v, causal, scale))
        ctx.save_for_backward(q, k, v, out, logs)
        ctx.asked = scale, causal
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, wanted: Tensor) -> tuple[Tensor | None, ...]:
        library = _core()
        assert library is not None
        q, k, v, out, logs = ctx.saved_tensors
        scale, causal = ctx.asked
        grown = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        wanted = wanted.contiguous()
        sizes = _sizes(q, v, causal, scale)
        call(library, "amx_attention_back", q, k, v, out, logs, wanted, *grown, *sizes)
        return *grown, None, None


def _sizes(q: Tensor, v: Tensor, causal: bool, scale: float) -> tuple[int, int, int, int, int, float]:
    """Heads of all batches, places, both widths, and the rest."""
    return q.shape[:-2].numel(), *q.shape[-2:], v.shape[-1], int(causal), float(scale)


@cache
def _core() -> ctypes.CDLL | None:
    """The core, where it has this attention and may use the processor's tiles."""
    library = core()
    return library if library is not None and library.amx_attention_runs() else None
