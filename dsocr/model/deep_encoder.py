"""DeepEncoder: SAM looks closely, convolutions compress 16 to 1, CLIP looks at the whole."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor, nn

from dsocr.model.clip import Clip
from dsocr.model.config import Config
from dsocr.model.sam import Sam
from dsocr.views import Views

# Of views that are encoded together: what bounds their memory, and what a GPU needs to have enough to do.
PIXELS_AT_ONCE = {"cpu": 4 * 640 * 640, "cuda": 16 * 1024 * 1024}


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
        return self.read_many([views])[0]

    def read_many(self, pages: Sequence[Views]) -> list[Tensor]:
        """The same for several pages, whose views of one size are encoded together."""
        tokens = iter(self._encode([view for views in pages for view in (views.overview, *views.tiles)]))
        return [self._arrange(views, next(tokens), list(islice(tokens, len(views.tiles)))) for views in pages]

    def _encode(self, views: Sequence[Tensor]) -> list[Tensor]:
        """Views [3, s, s] of any sizes → the tokens of each [(s/64)², decoder width], in the same order."""
        at = self.newline
        most = PIXELS_AT_ONCE.get(at.device.type, PIXELS_AT_ONCE["cpu"])
        found: dict[int, Tensor] = {}
        for side in {view.shape[-1] for view in views}:
            alike = [index for index, view in enumerate(views) if view.shape[-1] == side]
            # Sums of float32 depend on how many rows are multiplied: a page alone would not be the page in company.
            together = 1 if at.dtype == torch.float32 else max(1, most // side**2)
            for start in range(0, len(alike), together):
                some = alike[start : start + together]
                pixels = torch.stack([views[index] for index in some])
                if at.is_cuda and not pixels.is_cuda:
                    pixels = pixels.pin_memory()  # so that the next ones are on their way while these are encoded
                found.update(zip(some, self(pixels.to(at.device, at.dtype, non_blocking=True)), strict=True))
        return [found[index] for index in range(len(views))]

    def _arrange(self, views: Views, overview: Tensor, tiles: list[Tensor]) -> Tensor:
        stacked = torch.stack(tiles) if tiles else overview.new_zeros(0, 1, overview.shape[-1])
        return views.layout.arrange(overview, stacked, self.newline, self.separator)
