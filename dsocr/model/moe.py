"""Feed-forward layers: one gated network, or a router that picks a few out of many."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsocr.kernels.learned_rows import in_training
from dsocr.model.config import DecoderConfig

_ROWS = 64  # to a multiple of which those of an expert are filled up


class SwiGLU(nn.Module):
    """down(silu(gate x) · up x)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, inner, bias=False)
        self.up = nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] → [..., width]."""
        result: Tensor = self.down(F.silu(self.gate(x)) * self.up(x))
        return result


class MixtureOfExperts(nn.Module):
    """A few routed experts for each token, and the shared expert for all."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.per_token = config.experts_per_token
        self.renormalise = config.renormalise
        self.scale = config.routed_scale
        self.router = nn.Linear(config.width, config.experts, bias=False)
        self.experts = nn.ModuleList(SwiGLU(config.width, config.expert_width) for _ in range(config.experts))
        self.shared = SwiGLU(config.width, config.shared_width)

    def forward(self, x: Tensor) -> Tensor:
        """[b, n, width] → [b, n, width]."""
        tokens = x.reshape(-1, x.shape[-1])
        weights, chosen = self.route(tokens)
        mixed = torch.zeros(tokens.shape, dtype=torch.float32, device=x.device)
        for index in sorted(set(chosen.flatten().tolist())):
            token, slot = (chosen == index).nonzero(as_tuple=True)
            answer = self.experts[index](_fill_up(tokens[token]))[: len(token)].float() * weights[token, slot, None]
            mixed = mixed.index_add(0, token, answer)
        result: Tensor = mixed.to(x.dtype).reshape(x.shape) + self.shared(x)
        return result

    def route(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """[n, width] → weights (float32) and expert numbers, both [n, per token]; softmax over all experts."""
        logits = F.linear(tokens.float(), self.router.weight.float())
        weights, chosen = logits.softmax(dim=-1).topk(self.per_token, dim=-1)
        # published quirk: the chosen probabilities are not renormalised to sum to one.
        if self.renormalise:
            weights = weights / weights.sum(dim=-1, keepdim=True)
        return weights * self.scale, chosen


def _fill_up(rows: Tensor) -> Tensor:
    """In training on a CPU, rows of nothing more: oneDNN compiles a product for every new number of rows."""
    return F.pad(rows, (0, 0, 0, -len(rows) % _ROWS)) if rows.device.type == "cpu" and in_training() else rows
