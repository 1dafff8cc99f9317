"""Weights in 8 or 4 bits: groups of columns share a scale; plain twins of what the compiled core multiplies with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dsocr.kernels.huge_pages import HugePages
from dsocr.kernels.library import call, core

INT8_GROUP = 128
INT4_GROUP = 32
_CHUNK = 128  # columns are filled up with zeros to a multiple of this
_AT_ONCE = 1 << 23  # numbers: rounding takes several float copies of them


@dataclass(frozen=True)
class Packed:
    """A matrix [rows, columns] in few bits.

    bits 8: data uint8 [rows, padded], each number + 128; scales bfloat16 [rows, padded / 128].
    bits 4: data uint8 [rows, padded / 2], each number + 8; 128 columns lie in 64 bytes: four bytes after four
    bytes hold the next columns of the first, second, third and fourth 32 in turn, the low halves the first 16 of each
    and the high halves the others; scales float16 [rows, padded / 32].
    """

    data: Tensor
    scales: Tensor
    columns: int
    bits: int

    @property
    def rows(self) -> int:
        """How many rows the matrix has."""
        return self.data.shape[0]


def pack(weight: Tensor, bits: int, memory: HugePages | None = None) -> Packed:
    """Round a matrix [rows, columns] to 8 or 4 bits; what is packed from the same memory in turn is read in one stream.

    To multiples of its group's largest number / 127; of 4 bits, whose numbers reach from -8 to 7, the number farthest
    from zero is -8, so that scales may be negative.
    """
    library, dtypes = core(), (torch.float32, torch.bfloat16)
    if library is None or weight.device.type != "cpu" or weight.dtype not in dtypes:
        few = max(1, _AT_ONCE // weight.shape[1])
        parts = [pack_plain(weight[start : start + few], bits) for start in range(0, len(weight), few)]
        data, scales = (torch.cat(found) for found in zip(*((p.data, p.scales) for p in parts), strict=True))
        return Packed(data, scales, weight.shape[1], bits)
    weight = weight.contiguous()
    rows, columns = weight.shape
    wide = columns + -columns % _CHUNK
    empty = memory.empty if memory else torch.empty
    data = empty(rows, wide * bits // 8, dtype=torch.uint8)
    group, kind = (INT8_GROUP, torch.bfloat16) if bits == 8 else (INT4_GROUP, torch.float16)
    scales = empty(rows, wide // group, dtype=kind)
    halves = int(weight.dtype == torch.bfloat16)
    call(library, "pack_int8" if bits == 8 else "pack_int4", weight, halves, rows, columns, data, scales)
    return Packed(data, scales, columns, bits)


def pack_plain(weight: Tensor, bits: int) -> Packed:
    """The plain twin of `pack`."""
    columns = weight.shape[1]
    wide = F.pad(weight.float(), (0, -columns % _CHUNK))
    grouped = wide.reshape(len(wide), -1, INT8_GROUP if bits == 8 else INT4_GROUP)
    if bits == 8:
        scales, least, most = (grouped.abs().amax(-1) / 127).bfloat16(), -127, 127
    else:
        extreme = grouped.gather(-1, grouped.abs().argmax(-1, keepdim=True))[..., 0]
        scales, least, most = (extreme / -8).half(), -8, 7  # what is stored is what is divided by
    steps = torch.where(scales != 0, scales.float(), 1.0)
    numbers = (grouped / steps[..., None]).round_().clamp_(least, most).reshape(wide.shape)
    if bits == 8:
        return Packed((numbers + 128).to(torch.uint8), scales, columns, bits)
    halves = (numbers + 8).to(torch.uint8).reshape(len(wide), -1, 4, 2, 4, 4).permute(3, 0, 1, 4, 2, 5)
    data = halves[0] | (halves[1] << 4)
    return Packed(data.reshape(len(wide), -1).contiguous(), scales, columns, bits)


def unpack(packed: Packed) -> Tensor:
    """The rounded matrix, float32 [rows, columns]."""
    if packed.bits == 8:
        numbers, group = packed.data.float() - 128, INT8_GROUP
    else:
        bytes_ = packed.data.reshape(packed.rows, -1, 4, 4, 4)
        halves = torch.stack([bytes_ & 15, bytes_ >> 4], dim=2).permute(0, 1, 4, 2, 3, 5)
        numbers, group = halves.reshape(packed.rows, -1).float() - 8, INT4_GROUP
    grouped = numbers.reshape(packed.rows, -1, group) * packed.scales.float()[..., None]
    return grouped.reshape(packed.rows, -1)[:, : packed.columns]


def round_activations(x: Tensor) -> Tensor:
    """What the compiled core multiplies packed weights with: x [..., columns] rounded to 8 bits in groups of 128."""
    columns = x.shape[-1]
    wide = F.pad(x.float(), (0, -columns % _CHUNK))
    grouped = wide.reshape(*x.shape[:-1], -1, _CHUNK)
    scales = (grouped.abs().amax(-1, keepdim=True) / 127).clamp(min=torch.finfo(torch.float32).tiny)
    rounded = (grouped / scales).round_() * scales
    return rounded.reshape(wide.shape)[..., :columns]
