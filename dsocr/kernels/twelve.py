"""bfloat16 weights in 12 bits, nothing of them lost; plain twins of what the compiled core multiplies with.

Of a number's sign, 8 bits of exponent and 7 of mantissa the lower byte stays as it is. Of the upper one, the sign and
the upper 7 bits of the exponent, a row of a matrix uses few values: a code of 4 bits tells the sign and one of eight.
Code 0 is 0, codes 1 to 7 are the seven values behind the row's base: a factor of 2^14 from the smallest number to the
largest. The few numbers that lie outside are listed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dsocr.kernels.huge_pages import HugePages
from dsocr.kernels.library import call, core

GROUP, _ROWS = 128, 4  # columns and rows are filled up to multiples of these
BYTES = GROUP + GROUP // 2  # of 128 columns of a row
_BASE = 24  # the bit of a mark where the row's base begins
_MOST_COLUMNS = 1 << 15
_MOST_LISTED = 1 / 64  # of all numbers; more are not worth it


@dataclass(frozen=True)
class Twelve:
    """A matrix [rows, columns] of bfloat16 in 12 bits.

    data uint8 [rows / 4, columns / 128, 4, 192], both rounded up: the lower bytes of 128 columns and their codes, those
    of the first 64 in the lower halves. Byte 16 l + 8 u + b belongs to column 32 u + 8 l + b of its 64 (twelve.h says
    why). beside int32: for each row, rounded up to fours, and once more, where its part of the list begins, and from
    bit 24 on its base; then the list, each a column · 2^16 and the bits of the number, which reads as 0 in data.
    """

    data: Tensor
    beside: Tensor
    rows: int
    columns: int


def pack_twelve(weight: Tensor, memory: HugePages | None = None) -> Twelve | None:
    """A bfloat16 matrix on the CPU in 12 bits; None where too many of its numbers would have to be listed."""
    library, (rows, columns) = core(), weight.shape
    if library is None:
        return pack_twelve_plain(weight)
    if columns > _MOST_COLUMNS:
        return None
    weight = weight.contiguous()
    fours, groups = -(-rows // _ROWS), -(-columns // GROUP)
    empty = memory.empty if memory else torch.empty
    data = empty(fours, groups, _ROWS, BYTES, dtype=torch.uint8)
    marks = torch.empty(fours * _ROWS + 1, dtype=torch.int32)
    call(library, "pack_twelve", weight, rows, columns, data, marks)
    listed = _begin(marks)
    if listed > _most_listed(rows * columns):
        return None
    beside = empty(len(marks) + listed, dtype=torch.int32)
    beside[: len(marks)] = marks
    call(library, "list_twelve", weight, rows, columns, beside, beside[len(marks) :])
    return Twelve(data, beside, rows, columns)


def pack_twelve_plain(weight: Tensor) -> Twelve | None:
    """The plain twin of `pack_twelve`."""
    rows, columns = weight.shape
    if columns > _MOST_COLUMNS:
        return None
    wide = F.pad(weight, (0, -columns % GROUP, 0, -rows % _ROWS)).view(torch.int16).int() & 0xFFFF
    pair = wide >> 8 & 127
    base = torch.tensor([_choose_base(row[:columns]) for row in pair], dtype=torch.int32)
    code = torch.where(pair > 0, pair - base[:, None], 0)
    outside = (code < 0) | (code > 7) | ((pair > 0) & (code == 0))
    listed = outside.nonzero()
    if len(listed) > _most_listed(rows * columns):
        return None
    lower = torch.where(outside, 0, wide & 255)
    code = torch.where(outside, 0, wide >> 15 << 3 | code)
    # [fours, row, groups, half, u, l, b] → [fours, groups, row, half, l, u, b]
    lower, code = (
        part.reshape(-1, _ROWS, wide.shape[1] // GROUP, 2, 2, 4, 8).permute(0, 2, 1, 3, 5, 4, 6).flatten(4)
        for part in (lower, code)
    )
    data = torch.cat([lower.flatten(3), code[..., 0, :] | code[..., 1, :] << 4], dim=3).to(torch.uint8)
    marks = torch.zeros(len(wide) + 1, dtype=torch.int32)
    marks[:-1] = outside.sum(1).int() | base << _BASE
    _begin(marks)
    return Twelve(data, torch.cat([marks, listed[:, 1].int() << 16 | wide[outside]]), rows, columns)


def unpack_twelve(packed: Twelve) -> Tensor:
    """The matrix, bfloat16 [rows, columns]: what was packed, to the last bit."""
    fours, groups = packed.data.shape[:2]
    rows = fours * _ROWS
    data = packed.data.int()
    lower, codes = data[..., :GROUP], data[..., GROUP:]
    code = torch.stack([codes & 15, codes >> 4], dim=3)
    # [fours, groups, row, half, l, u, b] → [rows, columns]
    lower, code = (
        part.reshape(fours, groups, _ROWS, 2, 4, 2, 8).permute(0, 2, 1, 3, 5, 4, 6).reshape(rows, -1)
        for part in (lower, code)
    )
    marks, listed = packed.beside[: rows + 1], packed.beside[rows + 1 :]
    base, begin = marks[:-1] >> _BASE, marks & (1 << _BASE) - 1
    upper = torch.where(code & 7 > 0, (code & 7) + base[:, None], 0) | code >> 3 << 7
    bits = upper << 8 | lower
    bits[torch.arange(rows).repeat_interleave(begin.diff()), listed >> 16] = listed & 0xFFFF
    bits = bits.where(bits < 1 << 15, bits - (1 << 16)).to(torch.int16)
    return bits.view(torch.bfloat16)[: packed.rows, : packed.columns]


def _begin(marks: Tensor) -> int:
    """Counts below the base become places in the list, in place; how long the list is."""
    counts = marks & (1 << _BASE) - 1
    ends = counts.cumsum(0)
    marks += (ends - 2 * counts).int()  # above the count stays the base
    return int(ends[-1])


def _most_listed(numbers: int) -> float:
    return min(numbers * _MOST_LISTED, (1 << _BASE) - 1)


def _choose_base(pairs: Tensor) -> int:
    """The highest base that reaches the largest number; where that leaves many out, the one that leaves out fewest."""
    highest = max(int(pairs.max()) - 7, 0)
    if int(((pairs > 0) & (pairs <= highest)).sum()) * 64 <= len(pairs):
        return highest
    inside = torch.bincount(pairs, minlength=128)[1:].unfold(0, 7, 1).sum(1)
    return int((inside * len(inside) - torch.arange(len(inside))).argmax())  # the first of the best
