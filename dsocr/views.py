"""What the model looks at: one overview, its close-up tiles, and how their tokens lie in the prompt."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PIXELS_PER_TOKEN = 64  # 16-pixel patches, then two stride-2 convolutions


@dataclass(frozen=True)
class VisionLayout:
    """Rows of tile tokens, rows of overview tokens, one separator; a newline ends each row."""

    overview_side: int
    tile_side: int
    rows: int
    columns: int

    def __len__(self) -> int:
        """How many places the page takes in the prompt."""
        tile_rows, tile_columns = self.rows * self.tile_side, self.columns * self.tile_side
        return tile_rows * (tile_columns + 1) + self.overview_side * (self.overview_side + 1) + 1

    @property
    def vision_tokens(self) -> int:
        """How many tokens the paper counts: no newlines, no separator."""
        return self.overview_side**2 + self.rows * self.columns * self.tile_side**2

    def arrange(self, overview: Tensor, tiles: Tensor, newline: Tensor, separator: Tensor) -> Tensor:
        """Encoded tokens in prompt order.

        overview [overview_side², width], tiles [rows·columns, tile_side², width], newline and
        separator [width] → [len(self), width].
        """
        rows, columns, side, width = self.rows, self.columns, self.tile_side, overview.shape[-1]
        # One sheet for all tiles: a printed line that crosses three tiles becomes one row of tokens.
        sheet = tiles.reshape(rows, columns, side, side, width).transpose(1, 2)
        sheet = sheet.reshape(rows * side, columns * side, width)
        page = overview.reshape(self.overview_side, self.overview_side, width)
        # The checkpoint was trained with tiles before the overview.
        return torch.cat([_end_rows(sheet, newline), _end_rows(page, newline), separator[None]])


@dataclass(frozen=True)
class Views:
    """One page as the encoder sees it: overview [3, s, s]; tiles [n, 3, t, t], top row first, left to right."""

    overview: Tensor
    tiles: Tensor
    rows: int
    columns: int

    @property
    def layout(self) -> VisionLayout:
        """How this page's tokens lie in the prompt."""
        overview_side = self.overview.shape[-1] // PIXELS_PER_TOKEN
        return VisionLayout(overview_side, self.tiles.shape[-1] // PIXELS_PER_TOKEN, self.rows, self.columns)


def _end_rows(sheet: Tensor, newline: Tensor) -> Tensor:
    """[rows, columns, width] → [rows · (columns + 1), width], each row closed by the newline."""
    rows, _, width = sheet.shape
    return torch.cat([sheet, newline.expand(rows, 1, width)], dim=1).reshape(-1, width)
