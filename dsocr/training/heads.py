"""Training-only helpers of the network: what stands where in a patch, in a token, and where to read next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsocr.model.config import Config
from dsocr.model.decoder import Attention, rotate, split_heads

PATCH_CELLS = 2  # a 16-pixel patch is two cells of 16 × 8 pixels
TOKEN_ROWS, TOKEN_COLUMNS = 4, 8  # a token's 64 × 64 pixels are 32 such cells
GUIDED_LAYERS = (1, 2, 3)  # each finds the next character more closely; the last layer is left to read
_CELL_FEATURES = 24


class DenseHeads(nn.Module):
    """Which character's centre lies in each cell, told from SAM's patches and from the finished tokens."""

    def __init__(self, config: Config, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.from_patches = nn.Linear(config.sam.width, PATCH_CELLS * classes)
        # Factorised: a flat head from a token to all its cells and classes learns far more slowly.
        self.to_cells = nn.Linear(config.decoder.width, TOKEN_ROWS * TOKEN_COLUMNS * _CELL_FEATURES)
        self.from_cells = nn.Linear(_CELL_FEATURES, classes)

    def patch_logits(self, sheet: Tensor) -> Tensor:
        """[b, h, w, width] → [b, h, 2w, classes]: one row of cells per row of patches."""
        cells: Tensor = self.from_patches(sheet)
        batch, rows, columns, _ = cells.shape
        return cells.reshape(batch, rows, columns * PATCH_CELLS, self.classes)

    def token_logits(self, tokens: Tensor) -> Tensor:
        """[b, n², width] → [b, 4n, 8n, classes]: the same cells."""
        batch, count, _ = tokens.shape
        side = round(count**0.5)
        cells = self.to_cells(tokens).reshape(batch, side, side, TOKEN_ROWS, TOKEN_COLUMNS, _CELL_FEATURES)
        cells = cells.transpose(2, 3).reshape(batch, side * TOKEN_ROWS, side * TOKEN_COLUMNS, _CELL_FEATURES)
        logits: Tensor = self.from_cells(F.silu(cells))
        return logits


def cell_loss(logits: Tensor, labels: Tensor, empty_weight: float = 0.3) -> tuple[Tensor, Tensor]:
    """Cross-entropy over cells, class 0 (nothing here) counting less; and the accuracy over inked cells."""
    weight = torch.ones(logits.shape[-1], dtype=torch.float32, device=logits.device)
    weight[0] = empty_weight
    loss = F.cross_entropy(logits.float().flatten(0, -2), labels.flatten(), weight)
    inked = labels > 0
    # Counted without a choice of cells, which a GPU would be waited for.
    accuracy = ((logits.argmax(-1) == labels) & inked).sum() / inked.sum().clamp(min=1)
    return loss, accuracy


class ReadingHeads(nn.Module):
    """Says from what each guided layer is given where the next character stands, and from tokens which come first."""

    def __init__(self, config: Config, layers: int) -> None:
        super().__init__()
        self.locations = nn.ModuleList(nn.Linear(config.decoder.width, 2) for _ in range(layers))
        self.order = nn.Linear(config.decoder.width, 3)
        self.cell = nn.Linear(config.decoder.width, TOKEN_ROWS * TOKEN_COLUMNS)

    def location_loss(self, given: Sequence[Tensor], where: Tensor, known: Tensor) -> Tensor:
        """given: [b, n, width] for each layer; where [b, n, 2] in 0…1 of the view, where known [b, n]."""
        guesses = [head(x[known]).float() for head, x in zip(self.locations, given, strict=False)]
        return torch.stack([F.smooth_l1_loss(guess, where[known], beta=0.05) for guess in guesses]).mean()

    def cell_loss(self, given: Tensor, where: Tensor, known: Tensor, side: int) -> Tensor:
        """Which cell of its token the next character stands in, told from what the layer after the gaze is given.

        given [b, n, width]; where and known as above; side: tokens in a row of the view.
        """
        within = (where[known] * side).frac().clamp(0, 1)
        row, column = (within[:, 1] * TOKEN_ROWS).long(), (within[:, 0] * TOKEN_COLUMNS).long()
        return F.cross_entropy(self.cell(given[known]).float(), row * TOKEN_COLUMNS + column)

    def order_loss(self, tokens: Tensor, order: Tensor) -> Tensor:
        """tokens [b, n², width]; order [b, n², 3] as in ReadingBatch. Tokens that count lines are easy to find."""
        known = order[..., 0] >= 0
        return F.smooth_l1_loss(self.order(tokens[known]).float(), order[known], beta=0.05)


class Heads(nn.Module):
    """All of them."""

    def __init__(self, config: Config, classes: int) -> None:
        super().__init__()
        self.dense = DenseHeads(config, classes)
        self.reading = ReadingHeads(config, len(GUIDED_LAYERS))


@dataclass
class Gaze:
    """Guides a layer's attention in one pass: all heads but one should look at the place of the next character.

    places [b, n]: the prompt place to look at, where known [b, n]. forced [b]: pages on which those heads are made
    to look there, so that the layers above learn to read before the gaze has been learned. Before place `text_from`
    nothing is known on any page. `losses` fills up.
    """

    places: Tensor
    known: Tensor
    forced: Tensor
    text_from: int
    losses: list[Tensor] = field(default_factory=list)

    def attend(self, attention: Attention, x: Tensor, rope: tuple[Tensor, Tensor], force: bool) -> Tensor:
        """What `attention` gives for x [b, n, width], with the guided heads' gaze where it is forced."""
        heads, count = attention.heads, x.shape[1]
        q, k, v = (split_heads(part(x), heads) for part in (attention.q, attention.k, attention.v))
        q, k, start = rotate(q, rope), rotate(k, rope), self.text_from
        before = F.scaled_dot_product_attention(q[:, :, :start], k[:, :, :start], v[:, :, :start], is_causal=True)
        logits = (q[:, :, start:] @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5  # [b, heads, text, n]
        seen = torch.ones(count, count, dtype=torch.bool, device=x.device).tril()[start:]
        logits = logits.masked_fill(~seen, float("-inf"))
        known, places = self.known[:, start:], self.places[:, start:]
        wanted = known[:, None].expand(-1, heads - 1, -1)
        self.losses.append(F.cross_entropy(logits[:, :-1][wanted], places[:, None].expand(-1, heads - 1, -1)[wanted]))
        weights = logits.softmax(-1)
        if force and self.forced.any():
            held = F.one_hot(places, count).float()[:, None].expand(-1, heads - 1, -1, -1)
            here = (self.forced[:, None] & known)[:, None, :, None]
            weights = torch.cat([torch.where(here, held, weights[:, :-1]), weights[:, -1:]], dim=1)
        looked = torch.cat([before, weights.to(v.dtype) @ v], dim=2)
        out: Tensor = attention.out(looked.transpose(1, 2).flatten(2))
        return out
