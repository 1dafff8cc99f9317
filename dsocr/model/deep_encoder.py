"""DeepEncoder: SAM looks closely, convolutions compress 16 to 1, CLIP looks at the whole."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsocr.model.clip import Clip
from dsocr.model.config import Config
from dsocr.model.sam import Sam
from dsocr.views import Views


class DeepEncoder(nn.Module):
    """Views of a page → the rows that stand in the prompt for it."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.sam = Sam(config.sam)
        self.clip = Clip(config.clip)
        self.projector = nn.Linear(config.clip.width + config.sam.compressor_widths[1], config.decoder.width)
        self.newline = nn.Parameter(torch.zeros(config.decoder.width))
        self.separator = nn.Parameter(torch.zeros(config.decoder.width))

    def forward(self, pixels: Tensor) -> Tensor:
        """Views of one size [b, 3, s, s] → vision tokens [b, (s/64)², decoder width]."""
        features = self.sam(pixels)
        return self.fuse(features)

    def fuse(self, features: Tensor) -> Tensor:
        """SAM's features [b, channels, n, n] → vision tokens [b, n², decoder width]."""
        close = features.flatten(2).transpose(1, 2)
        # CLIP's half comes first.
        tokens: Tensor = self.projector(torch.cat([self.clip(features), close], dim=-1))
        return tokens

    def read(self, views: Views) -> Tensor:
        """All views of one page → [len(views.layout), decoder width], in prompt order."""
        at = self.newline
        overview = self(views.overview[None].to(at.device, at.dtype))[0]
        # Tiles one by one: memory stays that of one view.
        tiles = [self(tile[None].to(at.device, at.dtype))[0] for tile in views.tiles]
        stacked = torch.stack(tiles) if tiles else overview.new_zeros(0, 1, overview.shape[-1])
        return views.layout.arrange(overview, stacked, self.newline, self.separator)
