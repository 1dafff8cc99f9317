"""Attention over a sheet with a bias for row and column distance, in bfloat16 on the compiled core."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from dsocr.kernels.amx_attention import has_tiles
from dsocr.kernels.library import call

HEAD_DIMS = (16, 32, 64)


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
    is for a query at a and a key at b; None for no bias. All bfloat16 on the CPU; head dim is one of HEAD_DIMS.
    """
    batch, rows, columns, triple = qkv.shape
    down, across, dim = window or rows, window or columns, triple // 3 // heads
    if dim not in HEAD_DIMS or triple != 3 * heads * dim:
        raise ValueError(f"{heads} heads of {triple} / 3 are not {' or '.join(map(str, HEAD_DIMS))} wide")
    given = [_checked(qkv, *qkv.shape), _checked(outside, triple)]
    given += [_checked(table, 2 * side - 1, dim) for table, side in zip(tables or (), (down, across), strict=False)]
    attended = qkv.new_empty(batch, rows, columns, heads * dim)
    if not attended.numel():
        return attended
    nothing = [None] * (4 - len(given))
    sizes = (batch, rows, columns, down, across, heads, dim)
    call(core, "sheet_attention", *given, *nothing, attended, *sizes, int(has_tiles()))
    return attended


def _checked(tensor: Tensor, *shape: int) -> Tensor:
    """The tensor, laid out row after row; ValueError if it is not what the core can read."""
    if tensor.shape != shape or tensor.dtype != torch.bfloat16 or tensor.device.type != "cpu":
        raise ValueError(f"{tensor.dtype} {list(tensor.shape)} on {tensor.device}, not bfloat16 {list(shape)} on cpu")
    return tensor.contiguous()
