"""Batches drawn ahead by other processes, in the order of their numbers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import torch
from torch.utils.data import DataLoader, Dataset

from dsocr.training.sheets.batches import SheetBatch

_AHEAD = 4  # batches for each process


class _Numbered(Dataset[SheetBatch]):
    def __init__(self, make: Callable[[int], SheetBatch]) -> None:
        self._make = make

    def __getitem__(self, number: int) -> SheetBatch:
        return self._make(number)


def supply(make: Callable[[int], SheetBatch], first: int, processes: int) -> Iterator[SheetBatch]:
    """make(first), make(first + 1), …: drawn by so many other processes, or, with none, when each is asked for.

    Whoever lets go of the iterator ends the processes.
    """
    numbers = range(first, 2**40)
    if not processes:
        return map(make, numbers)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # or each process is told of it in a long line
    loader = DataLoader(
        _Numbered(make),
        batch_size=None,
        sampler=numbers,
        num_workers=processes,
        prefetch_factor=_AHEAD,
        pin_memory=torch.cuda.is_available(),
    )
    return iter(loader)


def free_cores(device: torch.device) -> int:
    """How many processes may draw beside the one that trains: all cores but one for a GPU, none where cores train."""
    return max(1, (os.cpu_count() or 2) - 1) if device.type == "cuda" else 0
