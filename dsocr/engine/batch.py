"""The rows of one pass: new places of several sequences, and where the places before them are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dsocr.engine.kv_cache import BLOCK, KVPool
from dsocr.model.decoder import causal_attention


@dataclass(frozen=True)
class Span:
    """The places `start` to `end` of one sequence, which holds `blocks` for them and for all places before.

    prompt: so many of its places were given, the others it wrote. exact: the logit of every id is wanted as the network
    has it, and not only those of the likeliest.
    """

    blocks: Sequence[int]
    start: int
    end: int
    prompt: int = 0
    exact: bool = False


class Batch:
    """Rows of several sequences, those of one sequence together and in order.

    owners and positions, int32 [n] on the CPU: which sequence a row belongs to, and its place there.
    given, exact, uint8 [n] on the CPU: whether a row is of its sequence's prompt, and whether its sequence is exact.
    tables, int32 [sequences, most blocks] on the CPU: the blocks of each sequence in the pool, padded with 0.
    """

    def __init__(self, pool: KVPool, spans: Sequence[Span]) -> None:
        self.pool = pool
        owners, positions, slots = list[int](), list[int](), list[int]()
        given, exact = list[bool](), list[bool]()
        most = max(len(span.blocks) for span in spans)
        for number, span in enumerate(spans):
            places = range(span.start, span.end)
            owners += [number] * len(places)
            positions += places
            given += [place < span.prompt for place in places]
            exact += [span.exact] * len(places)
            slots += [span.blocks[place // BLOCK] * BLOCK + place % BLOCK for place in places]
        self.owners = torch.tensor(owners, dtype=torch.int32)
        self.positions = torch.tensor(positions, dtype=torch.int32)
        self.given, self.exact = (torch.tensor(marks, dtype=torch.uint8) for marks in (given, exact))
        padded = [[*span.blocks, *[0] * (most - len(span.blocks))] for span in spans]
        self.tables = torch.tensor(padded, dtype=torch.int32)
        self._spans, self._slots = spans, slots
        self._places: Tensor | None = None
        self._stored: list[slice | Tensor] = []

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Stores k, v [1, kv heads, n, head dim]; each row of q [1, heads, n, head dim] sees its sequence up to itself.

        The plain twin of what a compiled decoder does with the tables: sequence after sequence.
        """
        keys, values = self.pool.keys[layer].flatten(0, 1), self.pool.values[layer].flatten(0, 1)
        if self._places is None:  # the same for every layer
            self._places = torch.tensor(self._slots, device=q.device)
            self._stored = [_stored(span, q.device) for span in self._spans]
        keys.index_copy_(0, self._places, k[0].transpose(0, 1))
        values.index_copy_(0, self._places, v[0].transpose(0, 1))
        seen, first = [], 0
        for span, stored in zip(self._spans, self._stored, strict=True):
            last = first + span.end - span.start
            own = keys[stored].transpose(0, 1)[None], values[stored].transpose(0, 1)[None]
            seen.append(causal_attention(q[:, :, first:last], *own))
            first = last
        return torch.cat(seen, dim=2) if len(seen) > 1 else seen[0]


def _stored(span: Span, device: torch.device) -> slice | Tensor:
    """Where a sequence's places lie in the pool: a slice, which copies nothing, where its blocks are in a row."""
    used = span.blocks[: -(-span.end // BLOCK)]
    if all(block == used[0] + index for index, block in enumerate(used)):
        return slice(used[0] * BLOCK, used[0] * BLOCK + span.end)
    blocks = torch.tensor(used, device=device)
    return (blocks[:, None] * BLOCK + torch.arange(BLOCK, device=device)).flatten()[: span.end]
