"""The head in 4 bits: it finds the likeliest ids in a third of the bytes, and the head itself scores these alone.

Of a head with 130,000 rows a greedy reader needs one number. The coarse logits are off by some hundredths of their
spread. `decoder.cpp` (Sieve) multiplies the rows around the best of them anew with the head as it is, sees thereby how
far off the coarse ones are, and then all rows that could still be among the eight best if they were off six times as
much; where those are too many, the whole head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dsocr.kernels.huge_pages import HugePages
from dsocr.kernels.quantise import Packed, pack, unpack

_LARGE = 1 << 15  # rows: of a small head too many would be scored twice
_BITS = 4
_AT_ONCE = 1 << 12  # rows


@dataclass(frozen=True)
class CoarseHead:
    """A head [vocab, width] in 4 bits; blur float32 [vocab]: how far off each row is, against the others.

    What is rounded to multiples of a step is off by the step over the root of 12, whatever it is: a row by the root of
    the sum of its steps' squares, times a number that is the same for all.
    """

    packed: Packed
    blur: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes that are read for each pass."""
        return self.packed.data.nbytes + self.packed.scales.nbytes + self.blur.nbytes


def coarse_head(head: Tensor | Packed) -> CoarseHead | None:
    """A head as it finds the likeliest ids; None where it is small, or so precise that it is not to be passed over."""
    rows = len(head) if isinstance(head, Tensor) else head.rows
    few_bits = isinstance(head, Packed) and head.bits <= _BITS
    if rows < _LARGE or few_bits or (isinstance(head, Tensor) and head.dtype != torch.bfloat16):
        return None
    memory, whole = HugePages(), None
    for first in range(0, rows, _AT_ONCE):
        part = pack(_rows(head, first, first + _AT_ONCE), _BITS)
        if whole is None:
            data, scales = (memory.empty(rows, each.shape[1], dtype=each.dtype) for each in (part.data, part.scales))
            whole = Packed(data, scales, part.columns, _BITS)
        whole.data[first : first + part.rows] = part.data
        whole.scales[first : first + part.rows] = part.scales
    assert whole is not None
    blur = whole.scales.float().square().sum(1).sqrt()
    return CoarseHead(whole, blur.clamp(min=float(blur.mean()) / 1000))


def _rows(head: Tensor | Packed, first: int, end: int) -> Tensor:
    """Some rows as they are multiplied."""
    if isinstance(head, Tensor):
        return head.detach()[first:end]
    return unpack(Packed(head.data[first:end], head.scales[first:end], head.columns, head.bits))
