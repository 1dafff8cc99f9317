"""Linear layers in fewer bits: the plain twins of what the compiled core multiplies with."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dsocr.kernels.huge_pages import HugePages
from dsocr.kernels.library import level
from dsocr.kernels.memory import MappedFiles, available_memory
from dsocr.kernels.quantise import Packed, pack, unpack
from dsocr.kernels.twelve import Twelve, pack_twelve, unpack_twelve
from dsocr.model.decoder import Decoder
from dsocr.model.moe import MixtureOfExperts

LOG = logging.getLogger(__name__)
BITS = {"int8": 8, "int4": 4}
_CACHED = 1 << 28  # bytes of which a processor may keep much in its caches
_AT_A_TIME = 1 << 27  # bytes that are shortened in one go: some hundredths of a second


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


class TwelveBitLinear(nn.Module):
    """A linear layer without bias whose bfloat16 weight is kept in 12 bits, nothing of it lost."""

    def __init__(self, packed: Twelve) -> None:
        super().__init__()
        self.rows, self.columns = packed.rows, packed.columns
        self.register_buffer("data", packed.data)
        self.register_buffer("beside", packed.beside)

    @property
    def packed(self) -> Twelve:
        """The weight as it is stored."""
        assert isinstance(self.data, Tensor)
        assert isinstance(self.beside, Tensor)
        return Twelve(self.data, self.beside, self.rows, self.columns)

    def forward(self, x: Tensor) -> Tensor:
        """[..., columns] → [..., rows]."""
        return F.linear(x, unpack_twelve(self.packed))


@torch.no_grad()
def quantise(decoder: Decoder, bits: int) -> None:
    """Round every matrix of the decoder, its head included; routers, norms and embeddings stay as they are."""
    memory, files = HugePages(), MappedFiles()
    for parent, name in linear_places(decoder):
        linear = getattr(parent, name)
        setattr(parent, name, QuantisedLinear(linear, bits, memory))
        files.forget(linear.weight)


def can_shorten(decoder: Decoder) -> bool:
    """Whether 12 bits are read faster than 16 here: by a core that multiplies bfloat16, from no cache but memory."""
    weight = decoder.embed.weight
    large = sum(weight.nbytes for weight in decoder.parameters()) > _CACHED
    return large and (weight.device.type, weight.dtype, level()) == ("cpu", torch.bfloat16, "avx512")


def shorten(decoder: Decoder) -> None:
    """Keep every bfloat16 matrix of the decoder in 12 bits, its head included; what is computed stays the same."""
    for _ in shortening(decoder):
        pass


@torch.no_grad()
def shortening(decoder: Decoder, *, mapped: bool = False) -> Iterator[None]:
    """`shorten` as far as it is iterated over, some matrices at a time.

    mapped: only matrices that files show, which take no memory themselves and are given back, and only while there is
    twice the memory that all that are left will take.
    """
    memory, files = HugePages(), MappedFiles()
    places = linear_places(decoder)
    left = sum(getattr(parent, name).weight.nbytes for parent, name in places) * 3 // 4
    done = 0
    for parent, name in places:
        weight = getattr(parent, name).weight.detach()
        if mapped and not (files.show(weight) and available_memory(weight.device) > 2 * left):
            return
        packed = pack_twelve(weight, memory) if weight.dtype == torch.bfloat16 else None
        if packed:
            setattr(parent, name, TwelveBitLinear(packed))
            files.forget(weight)
        left -= weight.nbytes * 3 // 4
        done += weight.nbytes
        if done > _AT_A_TIME:
            done = 0
            yield
    LOG.info("the decoder's weights are kept in 12 bits where they fit, nothing of them lost")


def linear_places(decoder: Decoder) -> list[tuple[nn.Module, str]]:
    """Where the decoder's matrices hang: parent and name, so that an old one can go as soon as it is replaced."""
    return [
        (parent, name)
        for parent in decoder.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Linear) and not (isinstance(parent, MixtureOfExperts) and child is parent.router)
    ]
