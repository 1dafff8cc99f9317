"""A mixture of experts for rows of many sequences on a GPU (Triton): who is asked, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from dsocr.kernels.early import Early, wait_for_others

# mypy: disable-error-code="untyped-decorator,no-untyped-def,misc"


@dataclass(frozen=True)
class Experts:
    """Weights of one mixture.

    gates, ups [experts, inner, width], downs [experts, width, inner]; the shared expert, as wide as several of them:
    shared_gate, shared_up [shared · inner, width], shared_down [width, shared · inner]. All contiguous.
    """

    router: Tensor  # [experts, width]
    gates: Tensor
    ups: Tensor
    downs: Tensor
    shared_gate: Tensor
    shared_up: Tensor
    shared_down: Tensor
    per_token: int
    renormalise: bool
    scale: float

    @property
    def shared(self) -> int:
        """How many routed experts the shared one is as wide as: it is asked as so many, with weight 1."""
        return self.shared_gate.shape[0] // self.gates.shape[1]

    @property
    def answers(self) -> int:
        """How many experts answer each row."""
        return self.per_token + self.shared


def choose(x: Tensor, delta: Tensor, norm: Tensor, eps: float, experts: Experts) -> tuple[Tensor, Tensor, Tensor]:
    """Adds delta to x [n, width] in place → x normed [n, width], weights float32 [n, answers], experts int32.

    The experts [n, per token] are numbers; the last weights are the shared experts' ones.
    """
    rows, width = x.shape
    count = len(experts.router)
    normed = torch.empty_like(x)
    weights = torch.empty(rows, experts.answers, dtype=torch.float32, device=x.device)
    chosen = torch.empty(rows, experts.per_token, dtype=torch.int32, device=x.device)
    _choose[(rows,)](
        *(x, delta, norm, experts.router, normed, weights, chosen, eps, experts.scale),
        WIDTH=width,
        LANES=triton.next_power_of_2(width),
        COUNT=count,
        EXPERTS=triton.next_power_of_2(count),
        STEP=256,
        PER_TOKEN=experts.per_token,
        ANSWERS=experts.answers,
        ALL=triton.next_power_of_2(experts.answers),
        RENORMALISE=experts.renormalise,
        num_warps=8,
        **Early.options(),
    )
    return normed, weights, chosen


def plain_choose(x: Tensor, delta: Tensor, norm: Tensor, eps: float, experts: Experts) -> tuple[Tensor, Tensor, Tensor]:
    """The plain twin."""
    x += delta
    exact = x.float()
    normed = norm * (exact * torch.rsqrt(exact.square().mean(-1, keepdim=True) + eps)).to(x.dtype)
    logits = F.linear(normed.float(), experts.router.float())
    weights, chosen = logits.softmax(dim=-1).topk(experts.per_token, dim=-1)
    if experts.renormalise:
        weights = weights / weights.sum(dim=-1, keepdim=True)
    ones = weights.new_ones(len(x), experts.shared)
    return normed, torch.cat([weights * experts.scale, ones], dim=1), chosen.int()


def ask(normed: Tensor, chosen: Tensor, experts: Experts) -> Tensor:
    """Rows normed [n, width] and their experts [n, per token] → all answers [n, answers, width], the shared ones last.

    Rows that ask the same expert are put to it together.
    """
    rows, width = normed.shape
    count, inner = experts.gates.shape[:2]
    lists = torch.empty(count + experts.shared, rows, dtype=torch.int32, device=normed.device)
    lengths = torch.empty(len(lists), dtype=torch.int32, device=normed.device)
    _group[(len(lists),)](
        *(chosen, lists, lengths, rows),
        COUNT=count,
        PER_TOKEN=experts.per_token,
        ANSWERS=experts.answers,
        STEP=1024,
        num_warps=4,
        **Early.options(),
    )
    hidden = torch.empty(rows * experts.answers, inner, dtype=normed.dtype, device=normed.device)
    answers = torch.empty(rows, experts.answers, width, dtype=normed.dtype, device=normed.device)
    tile = 16 if rows <= 64 else 32 if rows <= 256 else 64
    columns = 32 if tile == 16 else 64
    shape = {
        "COUNT": count,
        "INNER": inner,
        "WIDTH": width,
        "PER_TOKEN": experts.per_token,
        "ANSWERS": experts.answers,
        "ROWS": tile,
        "STEP": 32 if normed.dtype.itemsize > 2 else 64 if tile == 64 else 128,
        "num_warps": 4,
        **Early.options(),
        "num_stages": 3,
    }
    grid = triton.cdiv(rows, tile), triton.cdiv(inner, columns), len(lists)
    _gate_up[grid](
        *(normed, lists, lengths, experts.gates, experts.ups, experts.shared_gate, experts.shared_up, hidden, rows),
        COLUMNS=columns,
        **shape,
    )
    grid = triton.cdiv(rows, tile), triton.cdiv(width, 64), len(lists)
    _down[grid](*(hidden, lists, lengths, experts.downs, experts.shared_down, answers, rows), COLUMNS=64, **shape)
    return answers


def ask_alone(normed: Tensor, chosen: Tensor, weights: Tensor, experts: Experts) -> Tensor:
    """One row normed [1, width], its experts [1, per token] and weights [1, answers] → their sum [1, 1, width].

    Nothing but the weights of those experts is read, each once.
    """
    width = normed.shape[1]
    count, inner = experts.gates.shape[:2]
    hidden = torch.empty(experts.answers, inner, dtype=normed.dtype, device=normed.device)
    answer = torch.empty(1, 1, width, dtype=normed.dtype, device=normed.device)
    shape = {"COUNT": count, "INNER": inner, "WIDTH": width, "PER_TOKEN": experts.per_token, "num_warps": 4}
    shape |= Early.options()
    _gate_up_alone[(triton.cdiv(inner, 4), experts.answers)](
        *(normed, chosen, experts.gates, experts.ups, experts.shared_gate, experts.shared_up, hidden),
        COLUMNS=4,
        LANES=triton.next_power_of_2(width),
        **shape,
    )
    _down_alone[(triton.cdiv(width, 4),)](
        *(hidden, chosen, weights, experts.downs, experts.shared_down, answer),
        COLUMNS=4,
        STEP=triton.next_power_of_2(inner),
        ANSWERS=experts.answers,
        **shape,
    )
    return answer


def plain_ask(normed: Tensor, chosen: Tensor, experts: Experts) -> Tensor:
    """The plain twin of `ask`, row after row."""
    rows = []
    inner = experts.gates.shape[1]
    for row, numbers in zip(normed, chosen.tolist(), strict=True):
        asked = [(experts.gates[i], experts.ups[i], experts.downs[i]) for i in numbers]
        for s in range(experts.shared):
            part = slice(s * inner, (s + 1) * inner)
            asked.append((experts.shared_gate[part], experts.shared_up[part], experts.shared_down[:, part]))
        rows.append(torch.stack([F.linear(F.silu(F.linear(row, g)) * F.linear(row, u), d) for g, u, d in asked]))
    return torch.stack(rows)


@triton.jit
def _choose(
    x,
    delta,
    norm,
    router,
    normed,
    weights,
    chosen,
    eps,
    scale,
    WIDTH: tl.constexpr,
    LANES: tl.constexpr,
    COUNT: tl.constexpr,
    EXPERTS: tl.constexpr,
    STEP: tl.constexpr,
    PER_TOKEN: tl.constexpr,
    ANSWERS: tl.constexpr,
    ALL: tl.constexpr,
    RENORMALISE: tl.constexpr,
    EARLY: tl.constexpr,
):
    # All of the router is on its way before anything else is asked for: no other kernel writes it.
    number = tl.arange(0, EXPERTS)
    pieces = ()
    for begin in tl.static_range(0, WIDTH, STEP):
        at = begin + tl.arange(0, STEP)
        both = (number < COUNT)[:, None] & (at < WIDTH)[None, :]
        piece = tl.load(router + number[:, None] * WIDTH + at[None, :], mask=both, other=0.0)
        pieces = pieces + (piece,)  # type: ignore[assignment]  # noqa: RUF005 - Triton knows no other way
    wait_for_others(EARLY)

    row = tl.program_id(0)
    kind = x.dtype.element_ty
    lane = tl.arange(0, LANES)
    inside = lane < WIDTH
    own = tl.load(x + row * WIDTH + lane, mask=inside, other=0.0).to(tl.float32)
    own += tl.load(delta + row * WIDTH + lane, mask=inside, other=0.0).to(tl.float32)
    own = own.to(kind)
    shrink = tl.rsqrt(tl.sum(own.to(tl.float32) * own.to(tl.float32), axis=0) / WIDTH + eps)
    whole = (own.to(tl.float32) * shrink).to(kind).to(tl.float32)
    whole = (whole * tl.load(norm + lane, mask=inside, other=0.0).to(tl.float32)).to(kind)

    # The same again in pieces beside the router's: no thread has to wait for what another one stores.
    products = tl.zeros([EXPERTS, STEP], tl.float32)
    for begin in tl.static_range(0, WIDTH, STEP):
        at = begin + tl.arange(0, STEP)
        there = at < WIDTH
        part = tl.load(x + row * WIDTH + at, mask=there, other=0.0).to(tl.float32)
        part += tl.load(delta + row * WIDTH + at, mask=there, other=0.0).to(tl.float32)
        part = (part.to(kind).to(tl.float32) * shrink).to(kind).to(tl.float32)
        part = (part * tl.load(norm + at, mask=there, other=0.0).to(tl.float32)).to(kind).to(tl.float32)
        products += pieces[begin // STEP].to(tl.float32) * part[None, :]
    tl.debug_barrier()  # all have read x
    tl.store(x + row * WIDTH + lane, own, mask=inside)
    tl.store(normed + row * WIDTH + lane, whole, mask=inside)

    logits = tl.where(number < COUNT, tl.sum(products, axis=1), -1.0e30)
    left = tl.where(number < COUNT, tl.exp(logits - tl.max(logits, axis=0)), 0.0)
    left = left / tl.sum(left, axis=0)
    slot = tl.arange(0, ALL)
    kept = tl.zeros([ALL], tl.float32)
    for turn in tl.static_range(PER_TOKEN):
        best = tl.max(left, axis=0)
        index = tl.argmax(left, axis=0)
        kept = tl.where(slot == turn, best, kept)
        tl.store(chosen + row * PER_TOKEN + turn, index)
        left = tl.where(number == index, -1.0, left)
    if RENORMALISE:
        kept = kept / tl.sum(kept, axis=0)
    kept = tl.where(slot < PER_TOKEN, kept * scale, 1.0)
    tl.store(weights + row * ANSWERS + slot, kept, mask=slot < ANSWERS)


@triton.jit
def _group(
    chosen,
    lists,
    lengths,
    rows,
    COUNT: tl.constexpr,
    PER_TOKEN: tl.constexpr,
    ANSWERS: tl.constexpr,
    STEP: tl.constexpr,
    EARLY: tl.constexpr,
):
    """Which answers one expert owes: their numbers, row · ANSWERS + slot, in order; the shared ones owe every row."""
    wait_for_others(EARLY)
    expert = tl.program_id(0)
    found = 0
    for begin in range(0, rows * PER_TOKEN, STEP):
        at = begin + tl.arange(0, STEP)
        inside = at < rows * PER_TOKEN
        row, slot = at // PER_TOKEN, at % PER_TOKEN
        asked = tl.load(chosen + at, mask=inside, other=-1) == expert
        asked = tl.where(expert < COUNT, asked, inside & (slot == 0))
        slot = tl.where(expert < COUNT, slot, PER_TOKEN + expert - COUNT)
        before = tl.cumsum(asked.to(tl.int32), axis=0)
        tl.store(lists + expert * rows + found + before - 1, row * ANSWERS + slot, mask=asked)
        found += tl.sum(asked.to(tl.int32), axis=0)
    tl.store(lengths + expert, found)


@triton.jit
def _gate_up(
    normed,
    lists,
    lengths,
    gates,
    ups,
    shared_gate,
    shared_up,
    hidden,
    rows,
    COUNT: tl.constexpr,
    INNER: tl.constexpr,
    WIDTH: tl.constexpr,
    PER_TOKEN: tl.constexpr,
    ANSWERS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    STEP: tl.constexpr,
    EARLY: tl.constexpr,
):
    """silu(gate) · up of some columns of one expert, for some of the rows that ask it."""
    wait_for_others(EARLY)
    part, columns, expert = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    line = part * ROWS + tl.arange(0, ROWS)
    length = tl.load(lengths + expert)
    if part * ROWS >= length:
        return
    live = line < length
    answer = tl.load(lists + expert * rows + line, mask=live, other=0)
    if expert < COUNT:
        gate_at = gates + expert.to(tl.int64) * (INNER * WIDTH)
        up_at = ups + expert.to(tl.int64) * (INNER * WIDTH)
    else:
        gate_at = shared_gate + (expert - COUNT).to(tl.int64) * (INNER * WIDTH)
        up_at = shared_up + (expert - COUNT).to(tl.int64) * (INNER * WIDTH)
    column = columns * COLUMNS + tl.arange(0, COLUMNS)
    known = column < INNER
    step = tl.arange(0, STEP)
    x_at = normed + (answer // ANSWERS)[:, None] * WIDTH + step[None, :]
    weight = column[None, :] * WIDTH + step[:, None]
    gate = tl.zeros([ROWS, COLUMNS], tl.float32)
    up = tl.zeros([ROWS, COLUMNS], tl.float32)
    for begin in range(0, WIDTH, STEP):
        there = begin + step < WIDTH
        x = tl.load(x_at + begin, mask=live[:, None] & there[None, :], other=0.0)
        g = tl.load(gate_at + weight + begin, mask=known[None, :] & there[:, None], other=0.0)
        u = tl.load(up_at + weight + begin, mask=known[None, :] & there[:, None], other=0.0)
        gate = tl.dot(x, g, gate, input_precision="ieee")
        up = tl.dot(x, u, up, input_precision="ieee")
    result = gate / (1.0 + tl.exp(-gate)) * up
    out = hidden + answer[:, None] * INNER + column[None, :]
    tl.store(out, result.to(hidden.dtype.element_ty), mask=live[:, None] & known[None, :])


@triton.jit
def _down(
    hidden,
    lists,
    lengths,
    downs,
    shared_down,
    answers,
    rows,
    COUNT: tl.constexpr,
    INNER: tl.constexpr,
    WIDTH: tl.constexpr,
    PER_TOKEN: tl.constexpr,
    ANSWERS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    STEP: tl.constexpr,
    EARLY: tl.constexpr,
):
    """Some columns of one expert's answers to some of the rows that ask it."""
    wait_for_others(EARLY)
    part, columns, expert = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    line = part * ROWS + tl.arange(0, ROWS)
    length = tl.load(lengths + expert)
    if part * ROWS >= length:
        return
    live = line < length
    answer = tl.load(lists + expert * rows + line, mask=live, other=0)
    if expert < COUNT:
        down_at = downs + expert.to(tl.int64) * (INNER * WIDTH)
        stride = INNER
    else:
        down_at = shared_down + (expert - COUNT).to(tl.int64) * INNER
        stride = INNER * (ANSWERS - PER_TOKEN)
    column = columns * COLUMNS + tl.arange(0, COLUMNS)
    known = column < WIDTH
    step = tl.arange(0, STEP)
    h_at = hidden + answer[:, None] * INNER + step[None, :]
    weight = column[None, :] * stride + step[:, None]
    result = tl.zeros([ROWS, COLUMNS], tl.float32)
    for begin in range(0, INNER, STEP):
        there = begin + step < INNER
        h = tl.load(h_at + begin, mask=live[:, None] & there[None, :], other=0.0)
        w = tl.load(down_at + weight + begin, mask=known[None, :] & there[:, None], other=0.0)
        result = tl.dot(h, w, result, input_precision="ieee")
    out = answers + answer[:, None] * WIDTH + column[None, :]
    tl.store(out, result.to(answers.dtype.element_ty), mask=live[:, None] & known[None, :])


@triton.jit
def _gate_up_alone(
    normed,
    chosen,
    gates,
    ups,
    shared_gate,
    shared_up,
    hidden,
    COUNT: tl.constexpr,
    INNER: tl.constexpr,
    WIDTH: tl.constexpr,
    PER_TOKEN: tl.constexpr,
    COLUMNS: tl.constexpr,
    LANES: tl.constexpr,
    EARLY: tl.constexpr,
):
    wait_for_others(EARLY)
    columns, answer = tl.program_id(0), tl.program_id(1)
    if answer < PER_TOKEN:
        expert = tl.load(chosen + answer).to(tl.int64)
        gate_at = gates + expert * (INNER * WIDTH)
        up_at = ups + expert * (INNER * WIDTH)
    else:
        gate_at = shared_gate + (answer - PER_TOKEN).to(tl.int64) * (INNER * WIDTH)
        up_at = shared_up + (answer - PER_TOKEN).to(tl.int64) * (INNER * WIDTH)
    column = columns * COLUMNS + tl.arange(0, COLUMNS)
    lane = tl.arange(0, LANES)
    known, inside = column < INNER, lane < WIDTH
    offset = column[:, None] * WIDTH + lane[None, :]
    gate = tl.load(gate_at + offset, mask=known[:, None] & inside[None, :], other=0.0)
    up = tl.load(up_at + offset, mask=known[:, None] & inside[None, :], other=0.0)
    x = tl.load(normed + lane, mask=inside, other=0.0).to(tl.float32)[None, :]
    g = tl.sum(gate.to(tl.float32) * x, axis=1)
    result = g / (1.0 + tl.exp(-g)) * tl.sum(up.to(tl.float32) * x, axis=1)
    tl.store(hidden + answer * INNER + column, result.to(hidden.dtype.element_ty), mask=known)


@triton.jit
def _down_alone(
    hidden,
    chosen,
    weights,
    downs,
    shared_down,
    out,
    COUNT: tl.constexpr,
    INNER: tl.constexpr,
    WIDTH: tl.constexpr,
    PER_TOKEN: tl.constexpr,
    COLUMNS: tl.constexpr,
    STEP: tl.constexpr,
    ANSWERS: tl.constexpr,
    EARLY: tl.constexpr,
):
    wait_for_others(EARLY)
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    at = tl.arange(0, STEP)
    both = (column < WIDTH)[:, None] & (at < INNER)[None, :]
    same = tl.zeros([COLUMNS, 1], tl.int32)
    result = tl.zeros([COLUMNS, STEP], tl.float32)
    for answer in tl.static_range(ANSWERS):
        if answer < PER_TOKEN:
            expert = tl.load(chosen + answer).to(tl.int64)
            offset = column[:, None] * INNER + at[None, :]
            w = tl.load(downs + expert * (INNER * WIDTH) + offset, mask=both, other=0.0)
        else:
            offset = column[:, None] * (INNER * (ANSWERS - PER_TOKEN)) + (answer - PER_TOKEN) * INNER + at[None, :]
            w = tl.load(shared_down + offset, mask=both, other=0.0)
        # Read anew for each column, from the cache: threads that share it would have to wait for one another.
        h = tl.load(hidden + answer * INNER + at[None, :] + same, mask=both, other=0.0).to(tl.float32)
        result += w.to(tl.float32) * (h * tl.load(weights + answer))
    tl.store(out + column, tl.sum(result, axis=1).to(out.dtype.element_ty), mask=column < WIDTH)
