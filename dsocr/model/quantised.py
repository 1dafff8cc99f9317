"""Linear layers in 8 or 4 bits: the plain twin of what the compiled core multiplies with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsocr.kernels.huge_pages import HugePages
from dsocr.kernels.quantise import Packed, pack, unpack
from dsocr.model.decoder import Decoder
from dsocr.model.moe import MixtureOfExperts

BITS = {"int8": 8, "int4": 4}


class QuantisedLinear(nn.Module):
    """A linear layer without bias whose weight is kept rounded; it is widened anew for each product."""

    def __init__(self, linear: nn.Linear, bits: int, memory: HugePages | None = None) -> None:
        super().__init__()
        packed = pack(linear.weight.detach(), bits, memory)
        self.columns, self.bits = packed.columns, bits
        self.register_buffer("data", packed.data)
        self.register_buffer("scales", packed.scales)

    @property
    def packed(self) -> Packed:
        """The weight as it is stored."""
        assert isinstance(self.data, Tensor)
        assert isinstance(self.scales, Tensor)
        return Packed(self.data, self.scales, self.columns, self.bits)

    def forward(self, x: Tensor) -> Tensor:
        """[..., columns] → [..., rows]."""
        return F.linear(x, unpack(self.packed).to(x.dtype))


@torch.no_grad()
def quantise(decoder: Decoder, bits: int) -> None:
    """Round every matrix of the decoder, its head included; routers, norms and embeddings stay as they are."""
    memory = HugePages()
    for parent, name in linear_places(decoder):
        setattr(parent, name, QuantisedLinear(getattr(parent, name), bits, memory))


def linear_places(decoder: Decoder) -> list[tuple[nn.Module, str]]:
    """Where the decoder's matrices hang: parent and name, so that an old one can go as soon as it is replaced."""
    return [
        (parent, name)
        for parent in decoder.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Linear) and not (isinstance(parent, MixtureOfExperts) and child is parent.router)
    ]
