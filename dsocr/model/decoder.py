"""The language model that writes the page: attention with RoPE, one dense layer, then mixtures of experts."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsocr.kernels.amx_attention import amx_attention, takes_attention
from dsocr.model.config import DecoderConfig
from dsocr.model.moe import MixtureOfExperts, SwiGLU


class Batch(Protocol):
    """Which places the rows of one pass are, and the store of keys and values behind them."""

    @property
    def positions(self) -> Tensor:
        """The place of each row in its own sequence, integers [n]."""

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store k, v [1, kv heads, n, head dim]; what the rows of q [1, heads, n, head dim] gather, of q's shape."""


class Decoder(nn.Module):
    """Embeddings in, logits out."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        # With a table of its own: drawing random numbers for one without memory loads half of PyTorch.
        self.embed = nn.Embedding(config.vocab_size, config.width, _weight=torch.empty(config.vocab_size, config.width))
        self.layers = nn.ModuleList(DecoderLayer(config, index) for index in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm_eps)
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)

    def forward(self, x: Tensor, batch: Batch | None = None) -> Tensor:
        """Embeddings [b, n, width] → hidden states [b, n, width], normed for the head.

        Without a batch, each of the b is a whole sequence; with one, b is 1 and the rows are the batch's.
        """
        positions = torch.arange(x.shape[1]) if batch is None else batch.positions
        rope = rope_tables(positions, self.config, x)
        for layer in self.layers:
            x = layer(x, rope, batch)
        normed: Tensor = self.norm(x)
        return normed

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., width] → float32 logits [..., vocab]."""
        logits: Tensor = self.head(hidden)
        return logits.float()


class DecoderLayer(nn.Module):
    """Pre-norm attention, then a pre-norm feed-forward."""

    def __init__(self, config: DecoderConfig, index: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.width, config.norm_eps)
        self.attention = Attention(config, index)
        self.ffn_norm = RMSNorm(config.width, config.norm_eps)
        dense = index < config.dense_layers
        self.ffn = SwiGLU(config.width, config.dense_width) if dense else MixtureOfExperts(config)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], batch: Batch | None) -> Tensor:
        """[b, n, width] → the same shape."""
        x = x + self.attention(self.attention_norm(x), rope, batch)
        result: Tensor = x + self.ffn(self.ffn_norm(x))
        return result


class Attention(nn.Module):
    """Causal multi-head attention with rotary positions."""

    def __init__(self, config: DecoderConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.heads, self.kv_heads = config.heads, config.kv_heads
        inner, kv_inner = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.q = nn.Linear(config.width, inner, bias=False)
        self.k = nn.Linear(config.width, kv_inner, bias=False)
        self.v = nn.Linear(config.width, kv_inner, bias=False)
        self.out = nn.Linear(inner, config.width, bias=False)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], batch: Batch | None) -> Tensor:
        """[b, n, width] → the same shape; with a batch, over the stored places too."""
        q = rotate(split_heads(self.q(x), self.heads), rope)  # [b, heads, n, head dim]
        k = rotate(split_heads(self.k(x), self.kv_heads), rope)
        v = split_heads(self.v(x), self.kv_heads)
        attended = causal_attention(q, k, v) if batch is None else batch.attend(self.index, q, k, v)
        result: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return result


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + eps) in float32, cast back, then times the weight."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] → the same shape."""
        exact = x.float()
        exact = exact * torch.rsqrt(exact.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * exact.to(x.dtype)


def rope_tables(positions: Tensor, config: DecoderConfig, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines [n, head dim] for places [n], built in float32, on the device and in the dtype of `like`."""
    half = torch.arange(0, config.head_dim, 2, device=like.device, dtype=torch.float32)
    inverse = 1.0 / config.rope_theta ** (half / config.head_dim)
    places = positions.to(like.device, torch.float32)
    angles = torch.outer(places, inverse).repeat(1, 2)
    return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def rotate(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions, half-split as in Llama: the pair of channel i is i + head dim / 2."""
    cos, sin = rope
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """q [b, heads, n, dim] are the last n of the m places in k, v [b, kv heads, m, dim]."""
    count, total = q.shape[2], k.shape[2]
    grouped = q.shape[1] != k.shape[1]
    if count == total and not grouped and takes_attention(q):
        return amx_attention(q, k, v, q.shape[-1] ** -0.5, causal=True)
    if count in (1, total):
        return F.scaled_dot_product_attention(q, k, v, is_causal=count > 1, enable_gqa=grouped)
    seen = torch.ones(count, total, dtype=torch.bool, device=q.device).tril(total - count)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=grouped)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[b, n, width] → [b, heads, n, head dim]."""
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)
