"""Attention that is learned from, on a CPU that multiplies tiles of bfloat16 (Intel's AMX)."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dsocr.kernels.library import core

_WIDTH = 32  # heads' widths are filled up to a multiple


def learns_attention(q: Tensor) -> bool:
    """Whether something is to be learned and q is taken: bfloat16 on a CPU with tiles, and the core is built."""
    learns = q.requires_grad and torch.is_grad_enabled()
    return learns and q.dtype == torch.bfloat16 and q.device.type == "cpu" and _core() is not None


def learned_attention(q: Tensor, k: Tensor, v: Tensor, scale: float, *, causal: bool = False) -> Tensor:
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
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        out, logs = torch.empty_like(v), q.new_empty(q.shape[:-1], dtype=torch.float32)
        library.learned_attention(*_pointers(q, k, v, out, logs), *_sizes(q, v, causal, scale))
        ctx.save_for_backward(q, k, v, out, logs)
        ctx.asked = scale, causal
        return out

    @staticmethod
    def backward(ctx: Any, wanted: Tensor) -> tuple[Tensor | None, ...]:
        library = _core()
        assert library is not None
        q, k, v, out, logs = ctx.saved_tensors
        scale, causal = ctx.asked
        grown = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        wanted = wanted.contiguous()
        library.learned_attention_back(*_pointers(q, k, v, out, logs, wanted, *grown), *_sizes(q, v, causal, scale))
        return *grown, None, None


def _pointers(*tensors: Tensor) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]


def _sizes(q: Tensor, v: Tensor, causal: bool, scale: float) -> list[ctypes.c_int64 | ctypes.c_double]:
    places, wide = q.shape[-2:]
    sizes = (q[..., 0, 0].numel(), places, wide, v.shape[-1], int(causal))
    return [*map(ctypes.c_int64, sizes), ctypes.c_double(scale), ctypes.c_int64(torch.get_num_threads())]


@cache
def _core() -> ctypes.CDLL | None:
    library = core()
    return library if library is not None and library.learned_attention_runs() else None
