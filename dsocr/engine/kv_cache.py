"""Keys and values of the places already read, in blocks that sequences take and give back."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable

import torch

from dsocr.errors import InputError
from dsocr.kernels.huge_pages import HugePages

BLOCK = 64  # places


class KVPool:
    """A fixed number of blocks of `BLOCK` places each; memory that no block has used costs nothing on a CPU
    (on Linux in steps of a huge page for each layer).

    keys and values: [layers, blocks, BLOCK, kv heads, head dim].
    """

    def __init__(
        self,
        layers: int,
        kv_heads: int,
        head_dim: int,
        blocks: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """Sets the memory aside; InputError when there is not so much."""
        shape = layers, blocks, BLOCK, kv_heads, head_dim
        try:
            self.keys, self.values = (_empty(shape, dtype, device) for _ in range(2))
        except (MemoryError, RuntimeError) as error:  # all that can go wrong here
            size = show_bytes(blocks * block_bytes(layers, kv_heads, head_dim, dtype))
            raise InputError(f"{size} for the text being read are not to be had: lower --memory or --batch") from error
        self.blocks = blocks
        self._free = list(range(blocks))  # a heap

    @property
    def free(self) -> int:
        """How many blocks nobody holds."""
        return len(self._free)

    def take(self, count: int) -> list[int]:
        """The lowest free blocks: a sequence alone then lies in one piece, and memory that was never used stays so."""
        return [heapq.heappop(self._free) for _ in range(count)]

    def give_back(self, blocks: Iterable[int]) -> None:
        """Blocks that `take` gave are free again."""
        for block in blocks:
            heapq.heappush(self._free, block)


def _empty(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """On a CPU of huge pages, which are read faster."""
    if device.type == "cpu":
        return HugePages().empty(*shape, dtype=dtype)
    return torch.empty(shape, dtype=dtype, device=device)


def blocks_for(places: int) -> int:
    """How many blocks hold so many places."""
    return -(-places // BLOCK)


def block_bytes(layers: int, kv_heads: int, head_dim: int, dtype: torch.dtype) -> int:
    """What one block takes, keys and values of all layers together."""
    return 2 * layers * BLOCK * kv_heads * head_dim * dtype.itemsize


def parse_bytes(text: str, name: str = "memory") -> int:
    """Such as 500M, 4G or 4.5 GB, in steps of 1024; InputError for anything else, with the name of what is asked."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    size = int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " ")) if found else 0
    if size == 0:
        raise InputError(f"{name} {text!r} is no size; write, for example, 500M or 4G")
    return size


def show_bytes(count: int) -> str:
    """Such as 61 KB, 500 MB or 4.2 GB."""
    for unit, size in (("GB", 2**30), ("MB", 2**20)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{-(-count // 1024)} KB"
