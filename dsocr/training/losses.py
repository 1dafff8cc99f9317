"""What a batch teaches: how well crops are told, pages written down, and the next character's place known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsocr.model.decoder import Attention, DecoderLayer
from dsocr.model.deep_encoder import DeepEncoder
from dsocr.model.moe import MixtureOfExperts
from dsocr.model.network import Network
from dsocr.training.batches import CropBatch, PageBatch, Print
from dsocr.training.heads import GUIDED_LAYERS, Gaze, Heads, cell_loss
from dsocr.training.recipe import Stage

Shown = dict[str, Tensor]  # figures for the log by their names, without gradients


@dataclass(frozen=True)
class Features:
    """What SAM makes of a batch of pages: of their overviews [b, c, n, n] and of all their tiles [t, c, m, m]."""

    overviews: Tensor
    tiles: Tensor


def crop_loss(network: Network, heads: Heads, crops: CropBatch, stage: Stage) -> tuple[Tensor, Shown]:
    """How well SAM's patches and the finished tokens tell which character stands in each cell."""
    eye = network.deep_encoder
    labels = crops.labels.to(network.device)
    with torch.set_grad_enabled(stage.sam):
        sheet = eye.sam.patches(crops.pixels.to(network.device, network.dtype))
        features = eye.sam.compress(sheet)
    near, near_right = cell_loss(heads.dense.patch_logits(sheet), labels)
    far, far_right = cell_loss(heads.dense.token_logits(eye.fuse(features)), labels)
    return near + far, {"patch": near_right, "token": far_right}


def see(eye: DeepEncoder, batch: PageBatch, learns: bool) -> Features:
    """SAM's part of encoding, with gradients where it learns."""
    with torch.set_grad_enabled(learns):
        return Features(_features(eye, batch.overviews), _features(eye, batch.tiles))


def page_loss(
    network: Network, heads: Heads, features: Features, batch: PageBatch, stage: Stage, forced: Tensor
) -> tuple[Tensor, Shown]:
    """How well the pages are written down, and what the stage asks for beside; forced [b]: whose gaze is."""
    at, eye = network.device, network.deep_encoder
    overviews = eye.fuse(features.overviews)  # [b, n², width]
    tiles = eye.fuse(features.tiles) if len(features.tiles) else overviews.new_zeros(0, 1, overviews.shape[-1])
    gaze = _gaze(batch, forced.to(at)) if stage.guide else None
    with taps(network, gaze) as seen:
        hidden = network.decoder(network.embed(batch.ids.to(at), lay_out(batch, overviews, tiles, eye)))
    start = batch.text_from
    logits, targets = network.decoder.logits(hidden[:, start:]), batch.targets[:, start:].to(at)
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
    shown = {"loss": loss.detach()}
    if not forced.all():  # pages with a forced gaze do not tell how well it reads
        told = (targets >= 0) & ~forced.to(at)[:, None]
        shown["right"] = ((logits.argmax(-1) == targets) & told).sum() / told.sum()
    if stage.dense and batch.print:
        far, far_right = cell_loss(heads.dense.token_logits(overviews), batch.print.labels.to(at))
        loss, shown["token"] = loss + stage.dense * far, far_right
    if gaze and batch.print:
        guided, more = _gaze_loss(heads, gaze, seen, overviews, batch.print)
        loss, shown = loss + stage.guide * guided, shown | more
    return loss + stage.balance * sum(seen.balance), shown


def lay_out(batch: PageBatch, overviews: Tensor, tiles: Tensor, eye: DeepEncoder) -> Tensor:
    """Tokens of overviews [b, n², width] and tiles [t, m², width] as the rows of all prompts, in order."""
    parts = torch.split(tiles, [layout.rows * layout.columns for layout in batch.layouts])
    newline, separator = eye.newline.to(overviews.dtype), eye.separator.to(overviews.dtype)
    pages = zip(batch.layouts, overviews, parts, strict=True)
    return torch.cat([layout.arrange(overview, part, newline, separator) for layout, overview, part in pages])


def balance(moe: MixtureOfExperts, x: Tensor) -> Tensor:
    """The router's balance loss: experts x Σ (share of choices x mean probability); 1 when all are even."""
    probabilities = F.linear(x.flatten(0, -2).float(), moe.router.weight.float()).softmax(-1)
    chosen = probabilities.topk(moe.per_token, dim=-1).indices
    share = F.one_hot(chosen, probabilities.shape[-1]).float().mean((0, 1))
    return probabilities.shape[-1] * (share * probabilities.mean(0)).sum()


@dataclass
class Caught:
    """What the taps caught in one pass: what the attention of the guided layers and of the one after them was given,
    and the routers' balance losses."""

    guided: list[Tensor] = field(default_factory=list)
    after: Tensor = field(default_factory=lambda: torch.empty(0))
    balance: list[Tensor] = field(default_factory=list)


@contextmanager
def taps(network: Network, gaze: Gaze | None) -> Iterator[Caught]:
    """Catch what the training-only losses need while the plain network runs, and guide its gaze."""
    caught = Caught()
    handles = []
    layers = guided_layers(network) if gaze else []
    for layer in layers:

        def look(module: nn.Module, given: tuple[Any, ...], _: Tensor, last: bool = layer is layers[-1]) -> Tensor:
            assert gaze
            assert isinstance(module, Attention)
            caught.guided.append(given[0])
            return gaze.attend(module, given[0], given[1], force=last)

        handles.append(layer.attention.register_forward_hook(look))
    if layers:

        def note(module: nn.Module, given: tuple[Any, ...]) -> None:
            caught.after = given[0]

        last_layer = network.decoder.layers[-1]
        assert isinstance(last_layer, DecoderLayer)
        handles.append(last_layer.attention.register_forward_pre_hook(note))
    for part in network.modules():
        if isinstance(part, MixtureOfExperts):
            handles.append(part.register_forward_pre_hook(lambda moe, x: caught.balance.append(balance(moe, *x))))
    try:
        yield caught
    finally:
        for handle in handles:
            handle.remove()


def guided_layers(network: Network) -> list[DecoderLayer]:
    """The layers that are taught to look at the next character."""
    layers = [network.decoder.layers[index] for index in GUIDED_LAYERS if index < len(network.decoder.layers)]
    return [layer for layer in layers if isinstance(layer, DecoderLayer)]


def _features(eye: DeepEncoder, views: Tensor) -> Tensor:
    at = eye.newline
    features: Tensor = eye.sam(views.to(at.device, at.dtype)) if len(views) else at.new_zeros(0)
    return features


def _gaze(batch: PageBatch, forced: Tensor) -> Gaze:
    assert batch.print
    at = forced.device
    return Gaze(batch.print.places.to(at), batch.print.known.to(at), forced, batch.text_from)


def _gaze_loss(heads: Heads, gaze: Gaze, caught: Caught, tokens: Tensor, known: Print) -> tuple[Tensor, Shown]:
    """How well the next character's place is known, in all the ways that the reading heads ask for it."""
    reading, where = heads.reading, known.where.to(tokens.device)
    spot = reading.location_loss(caught.guided, where, gaze.known)
    order = reading.order_loss(tokens, known.order.to(tokens.device))
    cell = reading.cell_loss(caught.after, where, gaze.known, round(tokens.shape[1] ** 0.5))
    shown = {f"gaze {place}": look.detach() for place, look in enumerate(gaze.losses)}
    shown |= {"spot": spot.detach(), "order": order.detach(), "cell": cell.detach()}
    return torch.stack(gaze.losses).mean() + 3 * (spot + order) + 0.3 * cell, shown
