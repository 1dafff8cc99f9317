"""Attention of one new place for each of many sequences, over keys and values in blocks, on a GPU (Triton)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from dsocr.kernels.early import Early, wait_for_others

# mypy: disable-error-code="untyped-decorator,no-untyped-def,misc"

# Places read at once, which divide a block, and how many such tiles are on their way at a time, and being read.
TILE, STAGES = 32, 3


@dataclass(frozen=True)
class Heads:
    """How a row of q, k and v is cut: heads · dim, kv heads · dim, kv heads · dim."""

    count: int
    kv: int
    dim: int

    @property
    def width(self) -> int:
        """Of q, k and v side by side."""
        return (self.count + 2 * self.kv) * self.dim


@dataclass(frozen=True)
class Places:
    """Where the rows stand: positions int32 [n], -1 for a row that is none; tables int32 [n, most blocks]."""

    positions: Tensor
    tables: Tensor


def splits_for(rows: int) -> int:
    """In how many pieces a sequence is read at once, a power of 2, so that few rows keep a whole GPU busy too."""
    return next((pieces for most, pieces in ((2, 32), (8, 16), (32, 8)) if rows <= most), 4)


def paged_attention(
    qkv: Tensor, heads: Heads, rope: tuple[Tensor, Tensor], places: Places, keys: Tensor, values: Tensor
) -> Tensor:
    """Rows qkv [n, heads.width], not rotated yet → what they gather [n, heads · dim]; their k and v are stored.

    rope: cosines and sines [most places, dim / 2]. keys, values: [blocks, block, kv heads, dim].
    """
    rows, splits = len(qkv), splits_for(len(qkv))
    block, lanes = keys.shape[1], triton.next_power_of_2(heads.dim)
    sums = torch.empty(rows, heads.count, splits, heads.dim, dtype=torch.float32, device=qkv.device)
    marks = torch.empty(2, rows, heads.count, splits, dtype=torch.float32, device=qkv.device)
    out = torch.empty(rows, heads.count * heads.dim, dtype=qkv.dtype, device=qkv.device)
    _attend[(splits, heads.count, rows)](
        *(qkv, *rope, places.positions, places.tables, keys, values, sums, marks[0], marks[1]),
        *(places.tables.shape[1], heads.dim**-0.5 * 1.4426950408889634),
        HEADS=heads.count,
        KV_HEADS=heads.kv,
        DIM=heads.dim,
        LANES=lanes,
        BLOCK=block,
        TILE=min(block, TILE),
        STAGES=STAGES,
        num_warps=4,
        **Early.options(),
    )
    _join_splits[(heads.count, rows)](
        *(sums, marks[0], marks[1], out),
        SPLITS=splits,
        HEADS=heads.count,
        DIM=heads.dim,
        LANES=lanes,
        num_warps=4,
        **Early.options(),
    )
    return out


def plain_paged_attention(
    qkv: Tensor, heads: Heads, rope: tuple[Tensor, Tensor], places: Places, keys: Tensor, values: Tensor
) -> Tensor:
    """The plain twin, sequence after sequence; what it gives for a row that is none means nothing."""
    out, block = torch.zeros(len(qkv), heads.count * heads.dim, dtype=qkv.dtype, device=qkv.device), keys.shape[1]
    for row, position in enumerate(places.positions.tolist()):
        if position < 0:
            continue
        cut = [heads.count * heads.dim, heads.kv * heads.dim, heads.kv * heads.dim]
        q, k, v = (part.view(-1, heads.dim) for part in torch.split(qkv[row], cut))
        cos, sin = (table[position].repeat(2) for table in rope)
        q, k = (x * cos + torch.cat([-x.chunk(2, -1)[1], x.chunk(2, -1)[0]], -1) * sin for x in (q, k))
        blocks = places.tables[row, : position // block + 1].long()
        keys[blocks[-1], position % block], values[blocks[-1], position % block] = k, v
        seen = [store[blocks].flatten(0, 1)[: position + 1].transpose(0, 1)[None] for store in (keys, values)]
        out[row] = F.scaled_dot_product_attention(q[None, :, None], seen[0], seen[1], enable_gqa=True).flatten()
    return out


@triton.jit
def _rotated(x, cosines, sines, position, lane, DIM: tl.constexpr):
    """One head's channels [LANES] at x, turned for their place, in float32 and rounded as they are stored."""
    half = DIM // 2
    inside = lane < DIM
    first = lane < half
    own = tl.load(x + lane, mask=inside, other=0.0).to(tl.float32)
    other = tl.load(x + tl.where(first, lane + half, lane - half), mask=inside, other=0.0).to(tl.float32)
    pair = position * half + tl.where(first, lane, lane - half)
    cos = tl.load(cosines + pair, mask=inside, other=0.0).to(tl.float32)
    sin = tl.load(sines + pair, mask=inside, other=0.0).to(tl.float32)
    turned = own * cos + tl.where(first, -other, other) * sin
    return turned.to(x.dtype.element_ty)


@triton.jit
def _attend(
    qkv,
    cosines,
    sines,
    positions,
    tables,
    keys,
    values,
    sums,
    maxima,
    totals,
    table_width,
    scale,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    DIM: tl.constexpr,
    LANES: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
    STAGES: tl.constexpr,
    EARLY: tl.constexpr,
):
    """One piece of one sequence for one head. Each lane of a tile keeps a sum of its own until the end."""
    wait_for_others(EARLY)
    split, head, row = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    splits = tl.num_programs(0)
    kv_head = head // (HEADS // KV_HEADS)
    lane = tl.arange(0, LANES)
    inside = lane < DIM
    line = qkv + row * ((HEADS + 2 * KV_HEADS) * DIM)
    position = tl.load(positions + row)
    place = tl.maximum(position, 0)
    q = _rotated(line + head * DIM, cosines, sines, place, lane, DIM).to(tl.float32) * scale

    stored = place  # places before this one
    tiles = (stored + TILE - 1) // TILE
    share = (tiles + splits - 1) // splits
    begin = split * share
    end = tl.minimum(begin + share, tiles)
    best = tl.full([TILE], -1.0e30, tl.float32)
    total = tl.zeros([TILE], tl.float32)
    gathered = tl.zeros([TILE, LANES], tl.float32)
    steps = tl.arange(0, TILE)
    for tile in tl.range(begin, end, num_stages=STAGES):
        at = tile * TILE + steps
        physical = tl.load(tables + row * table_width + (tile * TILE) // BLOCK).to(tl.int64)
        offset = (physical * BLOCK + at % BLOCK)[:, None] * (KV_HEADS * DIM) + kv_head * DIM + lane[None, :]
        there = (at < stored)[:, None] & inside[None, :]
        k = tl.load(keys + offset, mask=there, other=0.0)
        v = tl.load(values + offset, mask=there, other=0.0)
        score = tl.where(at < stored, tl.sum(k.to(tl.float32) * q[None, :], axis=1), -1.0e30)
        new = tl.maximum(best, score)
        fade = tl.exp2(best - new)
        weight = tl.where(at < stored, tl.exp2(score - new), 0.0)
        total = total * fade + weight
        gathered = gathered * fade[:, None] + weight[:, None] * v.to(tl.float32)
        best = new

    most = tl.max(best, axis=0)
    lane_share = tl.exp2(best - most)
    whole = tl.sum(total * lane_share, axis=0)
    result = tl.sum(gathered * lane_share[:, None], axis=0)
    if split == 0:  # the new place itself, which is stored on the way
        own_k = _rotated(line + (HEADS + kv_head) * DIM, cosines, sines, place, lane, DIM)
        own_v = tl.load(line + (HEADS + KV_HEADS + kv_head) * DIM + lane, mask=inside, other=0.0)
        if (position >= 0) & (head % (HEADS // KV_HEADS) == 0):
            block = tl.load(tables + row * table_width + position // BLOCK).to(tl.int64)
            own = (block * BLOCK + position % BLOCK) * (KV_HEADS * DIM) + kv_head * DIM + lane
            tl.store(keys + own, own_k, mask=inside)
            tl.store(values + own, own_v, mask=inside)
        own_score = tl.sum(tl.where(inside, q * own_k.to(tl.float32), 0.0), axis=0)
        both = tl.maximum(most, own_score)
        old_share, own_share = tl.exp2(most - both), tl.exp2(own_score - both)
        whole = whole * old_share + own_share
        result = result * old_share + own_share * own_v.to(tl.float32)
        most = both
    mark = (row * HEADS + head) * splits + split
    tl.store(maxima + mark, most)
    tl.store(totals + mark, whole)
    tl.store(sums + mark * DIM + lane, result, mask=inside)


@triton.jit
def _join_splits(
    sums,
    maxima,
    totals,
    out,
    SPLITS: tl.constexpr,
    HEADS: tl.constexpr,
    DIM: tl.constexpr,
    LANES: tl.constexpr,
    EARLY: tl.constexpr,
):
    """The pieces of one sequence for one head, weighted by what each has seen."""
    wait_for_others(EARLY)
    mark = tl.program_id(1) * HEADS + tl.program_id(0)
    split, lane = tl.arange(0, SPLITS), tl.arange(0, LANES)
    inside = lane < DIM
    maximum = tl.load(maxima + mark * SPLITS + split)
    weight = tl.exp2(maximum - tl.max(maximum, axis=0))
    whole = tl.sum(weight * tl.load(totals + mark * SPLITS + split), axis=0)
    pieces = tl.load(sums + (mark * SPLITS + split)[:, None] * DIM + lane[None, :], mask=inside[None, :], other=0.0)
    result = tl.sum(pieces * weight[:, None], axis=0) / whole
    tl.store(out + mark * DIM + lane, result.to(out.dtype.element_ty), mask=inside)
