"""Keys and values of the places already read, in room set aside beforehand."""

from __future__ import annotations

import torch
from torch import Tensor


class KVCache:
    """Room for `capacity` places; it doubles when they are used up, so that no step copies what is stored."""

    def __init__(
        self,
        layers: int,
        heads: int,
        head_dim: int,
        capacity: int,
        dtype: torch.dtype,
        device: torch.device,
        limit: int | None = None,
    ) -> None:
        """`limit`: how many places there will ever be; it grows no further unless it must."""
        self.length = 0
        self._limit = limit
        shape = (layers, 1, heads, capacity, head_dim)
        self._keys = torch.empty(shape, dtype=dtype, device=device)
        self._values = torch.empty_like(self._keys)

    @property
    def capacity(self) -> int:
        """How many places fit without growing."""
        return self._keys.shape[3]

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k, v [1, heads, n, head_dim] behind the stored places; all of them back [1, heads, length + n, …].

        The length stays until `advance`, since every layer appends the same places.
        """
        end = self.length + k.shape[2]
        if end > self.capacity:
            doubled = 2 * self.capacity
            self._grow(max(end, doubled if self._limit is None else min(doubled, self._limit)))
        keys, values = self._keys[layer, :, :, :end], self._values[layer, :, :, :end]
        keys[:, :, self.length :] = k
        values[:, :, self.length :] = v
        return keys, values

    def advance(self, count: int) -> None:
        """Count the places that all layers have stored; the decoder calls this after its last layer."""
        self.length += count

    def _grow(self, capacity: int) -> None:
        self._keys, self._values = _widened(self._keys, capacity), _widened(self._values, capacity)


def _widened(store: Tensor, capacity: int) -> Tensor:
    layers, batch, heads, places, head_dim = store.shape
    wide = store.new_empty(layers, batch, heads, capacity, head_dim)
    wide[:, :, :, :places] = store
    return wide
