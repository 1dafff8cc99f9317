"""What a batch of whole pages teaches, without a wait for the device: every shape is known beforehand.

The network's own layers, taken apart so that a compiler meets few shapes: what is done place by place is done for all
places of a batch at once, attention alone knows of pages. `tests/training/test_sheet_loss.py` holds it against the
plain network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import gcd
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from dsocr.kernels.learned_rows import gate_rows, learns_rows, norm_rows, turn_rows
from dsocr.model.clip import ClipLayer
from dsocr.model.decoder import DecoderLayer, RMSNorm, causal_attention, rope_tables, rotate
from dsocr.model.deep_encoder import DeepEncoder
from dsocr.model.moe import MixtureOfExperts, SwiGLU
from dsocr.model.network import Network
from dsocr.model.sam import SamLayer
from dsocr.training.heads import GUIDED_LAYERS, Heads, cell_loss
from dsocr.training.losses import Shown
from dsocr.training.recipe import Stage
from dsocr.training.sheets.batches import SheetBatch, look_at
from dsocr.views import PIXELS_PER_TOKEN

_STACK, _SMALL_STACK, _SMALL = 16, 32, 640  # views in a stack; more of sides up to 640 pixels
_Step = Callable[..., Any]


@dataclass(frozen=True)
class Looked:
    """What SAM makes of a batch: features of the overviews and of the tiles (the same where there are none).

    sheet: the patches of what has labels, before they are compressed; None where nothing is to be learned from them.
    """

    wide: Tensor
    close: Tensor
    sheet: Tensor | None


def look(eye: DeepEncoder, batch: SheetBatch, *, learns: bool, compiled: bool = False) -> Looked:
    """SAM's features of a batch; learns: with gradients."""
    with torch.autocast(batch.paper.device.type, enabled=False):  # bfloat16 has too few digits for pixels
        overviews, tiles = look_at(batch, eye.newline.dtype)
    with torch.set_grad_enabled(learns):
        sheet, wide = _look(eye, overviews, compiled)
        close = wide
        if batch.grid[0]:
            sheet, close = _look(eye, tiles, compiled)
    return Looked(wide, close, sheet if learns else None)


def sheet_loss(
    network: Network,
    heads: Heads,
    batch: SheetBatch,
    stage: Stage,
    fade: float,
    *,
    looked: Looked | None = None,
    compiled: bool = False,
) -> tuple[Tensor, Shown]:
    """The loss of a batch on its device, and figures for the log; fade: what training-only losses count, 1 to 0.

    looked: what SAM made of it, where that is known from before.
    """
    eye, layout = network.deep_encoder, batch.layout
    looked = looked or look(eye, batch, learns=stage.sam, compiled=compiled)
    tiled = bool(batch.grid[0])
    wide = _fuse(eye, looked.wide, compiled)
    close = _fuse(eye, looked.close, compiled) if tiled else wide
    total, shown = wide.new_zeros((), dtype=torch.float32), Shown()
    if stage.dense * fade:
        far, shown["token"] = cell_loss(heads.dense.token_logits(close), batch.labels.long())
        total = total + stage.dense * fade * far
        if looked.sheet is not None:
            near, shown["patch"] = cell_loss(heads.dense.patch_logits(looked.sheet), batch.labels.long())
            total = total + stage.dense * fade * near
    if not stage.decoder:
        return total, shown
    vision = arrange(batch, wide, close if tiled else None, eye)
    seen = len(layout)
    x = network.decoder.embed(batch.ids).to(torch.float32)
    x = torch.cat([x[:, :1], vision.float(), x[:, 1 + seen :]], dim=1)
    reading = read(network, x, compiled)
    logits, targets = network.decoder.logits(reading.hidden[:, seen:]), batch.targets[:, seen:]
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
    told = targets >= 0
    right = ((logits.detach().argmax(-1) == targets) & told).sum() / told.sum().clamp(min=1)
    shown |= {"loss": loss.detach(), "right": right}
    total = total + loss + stage.balance * reading.even
    if stage.guide * fade:
        guided, more = _guided_loss(network, heads, reading, batch)
        total, shown = total + stage.guide * fade * guided, shown | more
    return total, shown


def _guided_loss(network: Network, heads: Heads, reading: Reading, batch: SheetBatch) -> tuple[Tensor, Shown]:
    """How little the guided layers look at the next character, and how badly the layer after them knows its cell."""
    given = reading.given
    guided = [index for index in GUIDED_LAYERS if index < len(given)]
    gazes = {index: gaze_loss(*reading.looks[index], batch) for index in guided}
    total = torch.stack(list(gazes.values())).mean()
    shown = {f"gaze {index}": each.detach() for index, each in gazes.items()}
    after = guided[-1] + 1
    if after < len(given):
        known = _layer(network, after).attention_norm(_at(given[after], batch.asked))
        logits = heads.reading.cell(known).float().flatten(0, 1)
        cell = F.cross_entropy(logits, batch.cells.flatten(), ignore_index=-100)
        total, shown["cell"] = total + 0.3 * cell, cell.detach()
    return total, shown


def arrange(batch: SheetBatch, wide: Tensor, close: Tensor | None, eye: DeepEncoder) -> Tensor:
    """Tokens of overviews [b, n², width] and tiles [b · t, m², width] → the pages' rows [b, places, width]."""
    pages, width = len(wide), wide.shape[-1]
    newline, separator = (each.to(wide.dtype) for each in (eye.newline, eye.separator))
    parts = []
    if close is not None:
        columns, rows = batch.grid
        side = round(close.shape[1] ** 0.5)
        sheet = close.reshape(pages, rows, columns, side, side, width).transpose(2, 3)
        parts.append(_end_rows(sheet.reshape(pages, rows * side, columns * side, width), newline))
    side = round(wide.shape[1] ** 0.5)
    parts.append(_end_rows(wide.reshape(pages, side, side, width), newline))
    return torch.cat([*parts, separator.expand(pages, 1, width)], dim=1)


@dataclass(frozen=True)
class Reading:
    """What the decoder makes of a batch: hidden states and what each layer was given [b, n, width].

    looks: each layer's queries and keys [b, heads, n, dim]; even: the sum of the balance losses.
    """

    hidden: Tensor
    given: list[Tensor]
    looks: list[tuple[Tensor, Tensor]]
    even: Tensor


def read(network: Network, x: Tensor, compiled: bool) -> Reading:
    """Embeddings [b, n, width] through the decoder."""
    decoder = network.decoder
    pages, places, width = x.shape
    config = decoder.config
    cos, sin = rope_tables(torch.arange(places, device=x.device), config, x)
    cos, sin = (each.repeat(pages, 1) for each in (cos, sin))
    rows = x.reshape(-1, width)
    given, looks = list[Tensor](), list[tuple[Tensor, Tensor]]()
    even = x.new_zeros(())
    for layer in decoder.layers:
        assert isinstance(layer, DecoderLayer)
        given.append(rows.reshape(pages, places, width))
        q, k, v = _asked(layer, rows, (cos, sin), pages, compiled)
        looks.append((q, k))
        attended = causal_attention(q, k, v).transpose(1, 2).reshape(-1, config.heads * config.head_dim)
        if isinstance(layer.ffn, MixtureOfExperts):
            rows, own = _chosen(after_with_experts, compiled)(layer, rows, attended)
            even = even + own
        else:
            rows = _chosen(after_attention, compiled)(layer, rows, attended)
    return Reading(decoder.norm(rows.reshape(pages, places, width)), given, looks, even)


def _asked(
    layer: DecoderLayer, rows: Tensor, rope: tuple[Tensor, Tensor], pages: int, compiled: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows [b · n, width] → rotated q, k and plain v, each [b, heads, n, head dim]."""
    dim = rope[0].shape[-1]
    if learns_rows(rows):
        attention, normed = layer.attention, norm(layer.attention_norm, rows)
        q, k = (turn_rows(part(normed), rope, pages, dim) for part in (attention.q, attention.k))
        return q, k, turn_rows(attention.v(normed), None, pages, dim)
    q, k, v = _chosen(before_attention, compiled)(layer, rows, *(each[:, None] for each in rope))
    return tuple(part.reshape(pages, len(rows) // pages, -1, dim).transpose(1, 2) for part in (q, k, v))


def norm(own: RMSNorm, rows: Tensor) -> Tensor:
    """RMSNorm of rows [n, width]."""
    return norm_rows(rows, own.weight, own.eps) if learns_rows(rows) else cast(Tensor, own(rows))


def gated(gate: Tensor, up: Tensor, share: Tensor | None = None) -> Tensor:
    """silu(gate) · up [n, width]; the columns of each expert by its share [n, experts]."""
    if learns_rows(gate):
        return gate_rows(gate, up, share)
    inner = F.silu(gate) * up
    return inner if share is None else (inner.reshape(*share.shape, -1) * share[..., None].to(inner.dtype)).flatten(1)


def feed(ffn: SwiGLU, rows: Tensor) -> Tensor:
    """As SwiGLU."""
    return cast(Tensor, ffn.down(gated(ffn.gate(rows), ffn.up(rows))))


def before_attention(layer: DecoderLayer, rows: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows [n, width] → rotated q, k and plain v, each [n, heads, head dim]."""
    attention = layer.attention
    normed = layer.attention_norm(rows)
    dim = cos.shape[-1]
    q, k, v = (part(normed).reshape(len(rows), -1, dim) for part in (attention.q, attention.k, attention.v))
    return _turned(q, cos, sin), _turned(k, cos, sin), v


def after_attention(layer: DecoderLayer, rows: Tensor, attended: Tensor) -> Tensor:
    """What attention gathered [n, width] is taken in, and the feed-forward follows."""
    rows = rows + layer.attention.out(attended)
    return rows + feed(cast(SwiGLU, layer.ffn), norm(layer.ffn_norm, rows))


def after_with_experts(layer: DecoderLayer, rows: Tensor, attended: Tensor) -> tuple[Tensor, Tensor]:
    """The same with a mixture of experts, all of which are asked; and the router's balance loss."""
    rows = rows + layer.attention.out(attended)
    mixed, even = all_experts(cast(MixtureOfExperts, layer.ffn), norm(layer.ffn_norm, rows))
    return rows + mixed, even


def all_experts(moe: MixtureOfExperts, x: Tensor) -> tuple[Tensor, Tensor]:
    """[n, width] → [n, width] and the balance loss: every expert answers, those that were not chosen count nothing.

    For few and narrow experts: one wide product in the place of many whose sizes only the device knows.
    """
    experts = [cast(SwiGLU, expert) for expert in moe.experts]
    gate, up = (torch.cat([getattr(expert, name).weight for expert in experts]) for name in ("gate", "up"))
    down = torch.cat([expert.down.weight for expert in experts], dim=1)
    with torch.autocast(x.device.type, enabled=False):
        probabilities = F.linear(x.float(), moe.router.weight.float()).softmax(-1)
    top, chosen = probabilities.topk(moe.per_token, dim=-1)
    if moe.renormalise:
        top = top / top.sum(-1, keepdim=True)
    share = torch.zeros_like(probabilities).scatter(1, chosen, top * moe.scale)
    asked = (share.detach() > 0).float().mean(0) / moe.per_token
    even = len(experts) * (asked * probabilities.mean(0)).sum()
    return F.linear(gated(F.linear(x, gate), F.linear(x, up), share), down) + feed(moe.shared, x), even


def gaze_loss(q: Tensor, k: Tensor, batch: SheetBatch) -> Tensor:
    """How little all heads but the last look at the place of the next character, at the places that are asked."""
    places, dim = k.shape[2:]
    asked = batch.asked.clamp(min=0)
    q = q[:, :-1].gather(2, asked[:, None, :, None].expand(-1, q.shape[1] - 1, -1, dim))
    logits = (q @ k[:, :-1].transpose(-1, -2)).float() * dim**-0.5  # [b, heads - 1, asked, places]
    later = torch.arange(places, device=k.device) > asked[..., None]
    logits = logits.masked_fill(later[:, None], float("-inf"))
    wanted = batch.places[:, None].expand(-1, logits.shape[1], -1)
    return F.cross_entropy(logits.flatten(0, 2), wanted.flatten(), ignore_index=-100)


def _look(eye: DeepEncoder, views: Tensor, compiled: bool) -> tuple[Tensor, Tensor]:
    """SAM's sheet and its features, layer after layer."""
    parts = [_look_once(eye, some, compiled) for some in _alike(views, views.shape[-1], compiled)]
    return torch.cat([sheet for sheet, _ in parts]), torch.cat([features for _, features in parts])


def _look_once(eye: DeepEncoder, views: Tensor, compiled: bool) -> tuple[Tensor, Tensor]:
    sheet: Tensor = eye.sam.patch(views.contiguous()).permute(0, 2, 3, 1)
    sheet = sheet + eye.sam.positions_for(sheet.shape[1])
    for layer in eye.sam.layers:
        sheet = _chosen(_sam_layer, compiled)(layer, sheet)
    return sheet, _chosen(_compress, compiled)(eye.sam, sheet)


def _fuse(eye: DeepEncoder, features: Tensor, compiled: bool) -> Tensor:
    """As DeepEncoder.fuse."""
    return torch.cat(
        [_fuse_once(eye, some, compiled) for some in _alike(features, PIXELS_PER_TOKEN * features.shape[-1], compiled)]
    )


def _fuse_once(eye: DeepEncoder, features: Tensor, compiled: bool) -> Tensor:
    close = features.flatten(2).transpose(1, 2)
    clip = eye.clip
    seen = torch.cat([clip.class_token.to(close.dtype).expand(len(close), 1, -1), close], dim=1)
    tokens: Tensor = clip.first_norm(seen + clip.positions_for(features.shape[-1]))
    for layer in clip.layers:
        tokens = _chosen(_clip_layer, compiled)(layer, tokens)
    joined: Tensor = eye.projector(torch.cat([tokens[:, 1:], close.to(tokens.dtype)], dim=-1))
    return joined


def _alike(views: Tensor, side: int, compiled: bool) -> tuple[Tensor, ...]:
    """Views in stacks of one height whatever the batch is, so that little is compiled; together where nothing is."""
    most = _SMALL_STACK if side <= _SMALL else _STACK
    return torch.split(views, gcd(len(views), most)) if compiled else (views,)


def _sam_layer(layer: SamLayer, sheet: Tensor) -> Tensor:
    return cast(Tensor, layer(sheet))


def _compress(sam: Any, sheet: Tensor) -> Tensor:
    return cast(Tensor, sam.compress(sheet))


def _clip_layer(layer: ClipLayer, tokens: Tensor) -> Tensor:
    return cast(Tensor, layer(tokens))


def _chosen(step: _Step, compiled: bool) -> _Step:
    return _compiled(step) if compiled else step


@cache
def _compiled(step: _Step) -> _Step:
    return torch.compile(step, dynamic=False)


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotated in the precision of the tables, and as precise as it was before."""
    return rotate(x, (cos, sin)).to(x.dtype)


def _at(rows: Tensor, asked: Tensor) -> Tensor:
    """Those of the rows [b, n, width] that are asked for [b, q]."""
    return rows.gather(1, asked.clamp(min=0)[..., None].expand(-1, -1, rows.shape[-1]))


def _end_rows(sheet: Tensor, newline: Tensor) -> Tensor:
    pages, rows, _, width = sheet.shape
    return torch.cat([sheet, newline.expand(pages, rows, 1, width)], dim=2).reshape(pages, -1, width)


def _layer(network: Network, index: int) -> DecoderLayer:
    return cast(DecoderLayer, network.decoder.layers[index])
