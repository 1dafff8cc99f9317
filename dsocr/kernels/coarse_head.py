"""The head in 4 bits: it finds the likeliest ids in a third of the bytes, and the head itself scores these alone.

Of a head with 130,000 rows a greedy reader needs one number. The coarse logits are off by some hundredths of their
spread, so the likeliest id is among the few hundred best of them; `decoder.cpp` multiplies those anew with the head as
it is, sees thereby how far off the coarse logits are, and takes all rows where that leaves a doubt.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dsocr.kernels.decoder_core import Weight
from dsocr.kernels.huge_pages import HugePages
from dsocr.kernels.quantise import Packed, pack, unpack
from dsocr.kernels.twelve import Twelve, part_of_twelve, unpack_twelve

_LARGE = 1 << 15  # rows: of a small head too many would be scored twice
_BITS = 4
_AT_ONCE = 1 << 12  # rows


def coarse_head(head: Weight) -> Packed | None:
    """A head [vocab, width] in 4 bits; None where it is small, or so precise that it is not to be passed over."""
    rows = len(head) if isinstance(head, Tensor) else head.rows
    if rows < _LARGE or (isinstance(head, Tensor) and head.dtype != torch.bfloat16):
        return None
    if isinstance(head, Packed) and head.bits <= _BITS:
        return None
    memory, whole = HugePages(), None
    for first in range(0, rows, _AT_ONCE):
        part = pack(_rows(head, first, min(first + _AT_ONCE, rows)), _BITS)
        if whole is None:
            data, scales = (memory.empty(rows, each.shape[1], dtype=each.dtype) for each in (part.data, part.scales))
            whole = Packed(data, scales, part.columns, _BITS)
        whole.data[first : first + part.rows] = part.data
        whole.scales[first : first + part.rows] = part.scales
    return whole


def _rows(weight: Weight, first: int, end: int) -> Tensor:
    """Some rows as they are multiplied."""
    if isinstance(weight, Packed):
        return unpack(Packed(weight.data[first:end], weight.scales[first:end], weight.columns, weight.bits))
    if isinstance(weight, Twelve):
        return unpack_twelve(part_of_twelve(weight, first, end))
    return weight.detach()[first:end]
