"""The likeliest id of each row, none that would repeat an n-gram, fed back without a word to the host (Triton)."""

from __future__ import annotations

from dataclasses import dataclass

import triton
import triton.language as tl
from torch import Tensor

from dsocr.kernels.early import Early, wait_for_others

# mypy: disable-error-code="untyped-decorator,no-untyped-def,misc"


@dataclass(frozen=True)
class Ban:
    """An id must not end an n-gram that began within the last `window` ids; `ngram` below 2 bans nothing.

    never: an id that is no answer at all.
    """

    ngram: int = 0
    window: int = 0
    never: int = 0


@dataclass(frozen=True)
class Texts:
    """Rows of growing texts. Row by row: the id to be read next, its place (-1: no row), how many were written here.

    written: int32 [n, window + most steps]: the last `window` ids before, -1 where there were none, then the new ones.
    spared: bytes [vocab], 1 for ids that are never banned.
    """

    ids: Tensor
    positions: Tensor
    counts: Tensor
    written: Tensor
    spared: Tensor


def ban_repeats(logits: Tensor, texts: Texts, ban: Ban) -> None:
    """Writes -inf into logits [n, vocab] for what must not come next."""
    starts = max(1, ban.window - ban.ngram + 1) if ban.ngram > 1 else 1
    _ban[(len(logits),)](
        *(logits, texts.written, texts.counts, texts.spared, logits.shape[1], texts.written.shape[1], ban.never),
        NGRAM=ban.ngram if ban.window >= ban.ngram else 0,
        WINDOW=ban.window,
        STARTS=starts,
        LANES=triton.next_power_of_2(starts),
        num_warps=1,
        **Early.options(),
    )


def advance(chosen: Tensor, texts: Texts, ban: Ban) -> None:
    """The ids chosen, int64 [n], are written, and stand at the next places."""
    _advance[(len(chosen),)](
        *(chosen, texts.ids, texts.positions, texts.counts, texts.written, texts.written.shape[1]),
        WINDOW=ban.window,
        num_warps=1,
        **Early.options(),
    )


@triton.jit
def _ban(
    logits,
    written,
    counts,
    spared,
    vocab,
    width,
    never,
    NGRAM: tl.constexpr,
    WINDOW: tl.constexpr,
    STARTS: tl.constexpr,
    LANES: tl.constexpr,
    EARLY: tl.constexpr,
):
    wait_for_others(EARLY)
    row = tl.program_id(0).to(tl.int64)
    tl.store(logits + row * vocab + never, float("-inf"))
    if NGRAM > 1:
        text = written + row * width + tl.load(counts + row)  # the last WINDOW ids
        start = tl.arange(0, LANES)
        same = start < STARTS
        for offset in range(NGRAM - 1):
            earlier = tl.load(text + start + offset, mask=start < STARTS, other=-1)
            same = same & (earlier >= 0) & (earlier == tl.load(text + (WINDOW - NGRAM + 1) + offset))
        last = tl.load(text + start + (NGRAM - 1), mask=same, other=0)
        free = tl.load(spared + last, mask=same, other=1)
        tl.store(logits + row * vocab + last, float("-inf"), mask=same & (free == 0))


@triton.jit
def _advance(chosen, ids, positions, counts, written, width, WINDOW: tl.constexpr, EARLY: tl.constexpr):
    wait_for_others(EARLY)
    row = tl.program_id(0).to(tl.int64)
    index = tl.load(chosen + row).to(tl.int32)
    count = tl.load(counts + row)
    position = tl.load(positions + row)
    tl.store(ids + row, index)
    tl.store(written + row * width + WINDOW + count, index)
    tl.store(counts + row, count + 1)
    if position >= 0:
        tl.store(positions + row, position + 1)
