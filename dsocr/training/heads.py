"""Training-only helpers of the network: what stands where in a patch, in a token, and where to read next."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsocr.model.config import Config
from dsocr.model.decoder import Attention, rotate

PATCH_CELLS = 2  # a 16-pixel patch is two cells of 16 × 8 pixels
TOKEN_ROWS, TOKEN_COLUMNS = 4, 8  # a token's 64 × 64 pixels are 32 such cells
_CELL_WIDTH = 24


class DenseHeads(nn.Module):
    """Which character's centre lies in each cell, told from SAM's patches and from the finished tokens."""

    def __init__(self, config: Config, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.from_patches = nn.Linear(config.sam.width, PATCH_CELLS * classes)
        # Factorised: a flat head from a token to all its cells and classes learns far more slowly.
        self.to_cells = nn.Linear(config.decoder.width, TOKEN_ROWS * TOKEN_COLUMNS * _CELL_WIDTH)
        self.from_cells = nn.Linear(_CELL_WIDTH, classes)

    def patch_logits(self, sheet: Tensor) -> Tensor:
        """[b, h, w, width] → [b, h, 2w, classes]: one row of cells per row of patches."""
        cells: Tensor = self.from_patches(sheet)
        batch, rows, columns, _ = cells.shape
        return cells.reshape(batch, rows, columns * PATCH_CELLS, self.classes)

    def token_logits(self, tokens: Tensor) -> Tensor:
        """[b, n², width] → [b, 4n, 8n, classes]: the same cells."""
        batch, count, _ = tokens.shape
        side = round(count**0.5)
        cells = self.to_cells(tokens).reshape(batch, side, side, TOKEN_ROWS, TOKEN_COLUMNS, _CELL_WIDTH)
        cells = cells.transpose(2, 3).reshape(batch, side * TOKEN_ROWS, side * TOKEN_COLUMNS, _CELL_WIDTH)
        logits: Tensor = self.from_cells(F.silu(cells))
        return logits


def cell_loss(logits: Tensor, labels: Tensor, empty_weight: float = 0.3) -> tuple[Tensor, Tensor]:
    """Cross-entropy over cells, class 0 (nothing here) counting less; and the accuracy over inked cells."""
    weight = torch.ones(logits.shape[-1], device=logits.device)
    weight[0] = empty_weight
    loss = F.cross_entropy(logits.float().flatten(0, -2), labels.flatten(), weight)
    inked = labels > 0
    accuracy = (logits.argmax(-1) == labels)[inked].float().mean()
    return loss, accuracy


class ReadingHeads(nn.Module):
    """Guides the decoder's gaze: the place of the next character from an early layer, and attention towards it."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.location = nn.Linear(config.decoder.width, 2)

    def location_loss(self, hidden: Tensor, where: Tensor, known: Tensor) -> Tensor:
        """hidden [b, n, width], where [b, n, 2] in 0…1 of the view, known [b, n] bool."""
        guess = self.location(hidden[known]).float()
        return F.smooth_l1_loss(guess, where[known], beta=0.05)


def attention_loss(
    attention: Attention, x: Tensor, rope: tuple[Tensor, Tensor], places: Tensor, known: Tensor
) -> Tensor:
    """How far all heads but one are from looking at the place that holds the next character.

    x [b, n, width] is what the attention layer was given; places [b, n] the place to look at, where known [b, n].
    """
    heads, count = attention.heads, x.shape[1]
    q = rotate(attention.q(x).unflatten(-1, (heads, -1)).transpose(1, 2), rope)[:, :-1]
    k = rotate(attention.k(x).unflatten(-1, (heads, -1)).transpose(1, 2), rope)[:, :-1]
    logits = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5  # [b, heads - 1, n, n]
    causal = torch.ones(count, count, dtype=torch.bool, device=x.device).tril()
    logits = logits.masked_fill(~causal, float("-inf"))
    wanted = known[:, None].expand(-1, heads - 1, -1)
    return F.cross_entropy(logits[wanted], places[:, None].expand(-1, heads - 1, -1)[wanted])
