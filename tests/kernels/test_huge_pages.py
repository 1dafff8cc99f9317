"""Memory in huge pages: tensors lie one behind the other, never one upon another, and where there are none all goes on."""

from __future__ import annotations

import mmap

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsocr.kernels.huge_pages import HUGE, HugePages

shapes = st.lists(st.lists(st.integers(0, 300), min_size=1, max_size=2).map(tuple), min_size=1, max_size=8)
needs_huge = pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="huge pages are Linux's")


@given(shapes, st.sampled_from([torch.uint8, torch.float16, torch.float32]))
def test_what_is_written_into_one_stays_out_of_the_others(wanted, dtype):
    memory = HugePages()
    tensors = [memory.empty(*shape, dtype=dtype).fill_(number) for number, shape in enumerate(wanted)]
    assert [(tensor.shape, tensor.dtype) for tensor in tensors] == [(shape, dtype) for shape in wanted]
    assert all(bool((tensor == number).all()) for number, tensor in enumerate(tensors))


@needs_huge
def test_those_of_one_dtype_lie_in_a_row():
    memory = HugePages()
    first, scales = memory.empty(1000, dtype=torch.uint8), memory.empty(10, dtype=torch.float32)
    second = memory.empty(64, dtype=torch.uint8)
    assert first.data_ptr() % HUGE == scales.data_ptr() % HUGE == 0
    assert second.data_ptr() == first.data_ptr() + 1024


@needs_huge
def test_more_than_a_chunk_holds_begins_another():
    memory = HugePages()
    before, large = memory.empty(10, dtype=torch.uint8), memory.empty(1 << 27, dtype=torch.uint8)
    large[-1], before[-1] = 1, 2
    assert large.data_ptr() % HUGE == 0
    assert (int(large[-1]), int(before[-1])) == (1, 2)


def test_without_huge_pages_it_is_torchs_own_memory(monkeypatch):
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
    assert HugePages().empty(3, 4, dtype=torch.float16).shape == (3, 4)


@needs_huge
def test_more_than_there_can_be_is_a_memory_error():
    with pytest.raises(MemoryError):
        HugePages().empty(1 << 60, dtype=torch.float32)
