"""Low-rank pairs that learn beside frozen linear layers, and the plain network that both come to."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsocr.model.network import Network

_STRENGTH = 2.0  # of a pair, whatever its rank: the usual choice


class LowRank(nn.Module):
    """A linear layer as it was, frozen, and beside it up · down, which starts at nothing (Hu et al. 2021)."""

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        at = linear.weight.device
        self.down = nn.Parameter(torch.randn(rank, linear.in_features, device=at) * linear.in_features**-0.5)
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank, device=at))

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] → [..., out]."""
        return F.linear(x, self.weight, self.bias) + _STRENGTH * F.linear(F.linear(x, self.down), self.up)

    def merged(self) -> Tensor:
        """The weight of the one linear layer that computes the same."""
        return self.weight + (_STRENGTH * self.up @ self.down).to(self.weight.dtype)


def add_pairs(network: Network, rank: int) -> None:
    """Put a pair beside every linear layer but the routers and the head."""
    # A router moved a little sends tokens to experts that never saw their like; the head is as large as the vocabulary.
    found = [name for name, part in network.named_modules() if isinstance(part, nn.Linear)]
    for name in found:
        if not name.endswith((".router", "decoder.head")):
            owner, _, own = name.rpartition(".")
            parent = network.get_submodule(owner)
            setattr(parent, own, LowRank(_linear(getattr(parent, own)), rank))


def is_pair(name: str) -> bool:
    """Whether a parameter of that name belongs to a pair."""
    return name.endswith((".down", ".up"))


@torch.no_grad()
def merged(network: Network) -> Network:
    """A network for reading that computes the same and has no pairs; weights without one are shared."""
    with torch.device("meta"):
        plain = Network(network.config, network.image_token_id)
    tensors = {name: tensor for name, tensor in network.state_dict().items() if not is_pair(name)}
    tensors |= {f"{name}.weight": part.merged() for name, part in network.named_modules() if isinstance(part, LowRank)}
    plain.load_state_dict({name: tensor.detach() for name, tensor in tensors.items()}, strict=True, assign=True)
    return plain.eval().requires_grad_(False)


def _linear(part: object) -> nn.Linear:
    assert isinstance(part, nn.Linear)
    return part
