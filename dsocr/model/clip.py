"""The stage that looks at the whole: CLIP's transformer over the compressed tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsocr.kernels.amx_attention import amx_attention, takes_attention
from dsocr.model.config import ClipConfig
from dsocr.model.sam import resize_table


class Clip(nn.Module):
    """SAM's features [b, width, n, n] → tokens [b, n², width]."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(config.width))
        # published quirk: this convolution is in the file and is never used; SAM's output takes its place.
        self.unused_patch = nn.Parameter(torch.zeros(config.width, 3, config.patch_px, config.patch_px))
        self.positions = nn.Parameter(torch.zeros(config.table_side**2 + 1, config.width))
        self.first_norm = nn.LayerNorm(config.width, eps=1e-5)
        self.layers = nn.ModuleList(ClipLayer(config) for _ in range(config.layers))

    def forward(self, features: Tensor) -> Tensor:
        """[b, width, n, n] → [b, n², width]; the class token is dropped at the end."""
        batch, width, side, _ = features.shape
        seen = features.flatten(2).transpose(1, 2)
        seen = torch.cat([self.class_token.expand(batch, 1, width), seen], dim=1)
        tokens: Tensor = self.first_norm(seen + self.positions_for(side))
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens[:, 1:]

    def positions_for(self, side: int) -> Tensor:
        """What stands for the class token and the places of a sheet: [1 + side², width]."""
        own, grid = self.positions[:1], self.positions[1:]
        table_side = round(len(grid) ** 0.5)
        grid = resize_table(grid.reshape(1, table_side, table_side, -1), side)
        return torch.cat([own, grid.reshape(side * side, -1)])


class ClipLayer(nn.Module):
    """One pre-norm layer with full attention and quick-GELU."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.attention_norm = nn.LayerNorm(config.width, eps=1e-5)
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.mlp_norm = nn.LayerNorm(config.width, eps=1e-5)
        self.mlp_in = nn.Linear(config.width, config.mlp_width)
        self.mlp_out = nn.Linear(config.mlp_width, config.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """[b, n, width] → the same shape."""
        batch, count, width = tokens.shape
        qkv = self.qkv(self.attention_norm(tokens)).reshape(batch, count, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [b, heads, n, head dim]
        if takes_attention(q):
            attended = amx_attention(q, k, v, q.shape[-1] ** -0.5)
        else:
            attended = F.scaled_dot_product_attention(q, k, v)
        attended = attended.transpose(1, 2).reshape(batch, count, width)
        tokens = tokens + self.out(attended)
        result: Tensor = tokens + self.mlp_out(quick_gelu(self.mlp_in(self.mlp_norm(tokens))))
        return result


def quick_gelu(x: Tensor) -> Tensor:
    """CLIP's own GELU: x · sigmoid(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)
