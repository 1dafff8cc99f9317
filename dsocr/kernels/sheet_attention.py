"""Attention over a sheet with a bias for row and column distance, in bfloat16 or float32 on the compiled core."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from dsocr.kernels.amx_attention import has_tiles
from dsocr.kernels.library import call

HEAD_DIMS = (16, 32, 64)
DTYPES = (torch.bfloat16, torch.float32)


def sheet_attention(
    core: ctypes.CDLL,
    qkv: Tensor,
    outside: Tensor,
    tables: tuple[Tensor, Tensor] | None,
    heads: int,
    window: int = 0,
) -> Tensor:
    """qkv [b, h, w, 3 · width] → [b, h, w, width]: every place attends to its window, or to all with window 0.

    `outside` [3 · width] stands for the places that fill up windows below and right of the sheet. The tables, for
    rows and columns, [2 · side - 1, head dim], fit the window (the sheet, with window 0): the entry a - b + side - 1
    is for a query at a and a key at b; None for no bias. All bfloat16 or all float32, on the CPU; head dim is one of
    HEAD_DIMS.
    """
    batch, rows, columns, triple = qkv.shape
    down, across, dim = window or rows, window or columns, triple // 3 // heads
    if dim not in HEAD_DIMS or triple != 3 * heads * dim:
        raise ValueError(f"{heads} heads of {triple} / 3 are not {' or '.join(map(str, HEAD_DIMS))} wide")
    if qkv.dtype not in DTYPES or qkv.device.type != "cpu":
        raise ValueError(f"{qkv.dtype} on {qkv.device}, not bfloat16 or float32 on cpu")
    given = [qkv.contiguous(), _checked(outside, qkv, triple)]
    sides = zip(tables or (), (down, across), strict=False)
    given += [_checked(table, qkv, 2 * side - 1, dim) for table, side in sides]
    attended = qkv.new_empty(batch, rows, columns, heads * dim)
    if not attended.numel():
        return attended
    nothing = [None] * (4 - len(given))
    sizes = (batch, rows, columns, down, across, heads, dim)
    if qkv.dtype == torch.float32:
        call(core, "sheet_attention_float", *given, *nothing, attended, *sizes)
    else:
        call(core, "sheet_attention", *given, *nothing, attended, *sizes, int(has_tiles()))
    return attended


def _checked(tensor: Tensor, like: Tensor, *shape: int) -> Tensor:
    """The tensor, laid out row after row; ValueError if it is of another shape, or of another kind than `like`."""
    if tensor.shape != shape or (tensor.dtype, tensor.device) != (like.dtype, like.device):
        raise ValueError(f"{_said(tensor, tensor.shape)}, not {_said(like, shape)}")
    return tensor.contiguous()


def _said(kind: Tensor, shape: Sequence[int]) -> str:
    return f"{kind.dtype} {list(shape)} on {kind.device}"
