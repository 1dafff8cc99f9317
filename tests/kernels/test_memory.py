"""What files show can be given back, and only that."""

from __future__ import annotations

import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from dsocr.kernels.memory import MappedFiles, available_memory

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped")
SIZE = 1 << 24


def resident() -> int:
    """Bytes of files in this process's memory."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssFile:"))


@pytest.fixture
def tensor(tmp_path):
    save_file({"small": torch.arange(5), "large": torch.arange(SIZE // 8)}, tmp_path / "tensors.safetensors")
    with safe_open(tmp_path / "tensors.safetensors", framework="pt", device="cpu") as file:
        return file.get_tensor("large")


@needs_linux
def test_a_tensor_of_a_file_is_forgotten_and_still_there(tensor):
    assert int(tensor.sum()) == SIZE // 8 * (SIZE // 8 - 1) // 2
    files, before = MappedFiles(), resident()
    assert files.show(tensor)
    files.forget(tensor)
    assert before - resident() > SIZE * 0.9
    assert torch.equal(tensor, torch.arange(SIZE // 8))


def test_what_is_no_files_stays_as_it_is(tensor):
    files, own = MappedFiles(), torch.arange(SIZE // 8)
    assert not files.show(own)
    files.forget(own)
    assert torch.equal(own, torch.arange(SIZE // 8))


def test_a_machine_that_does_not_tell_has_something(monkeypatch):
    assert available_memory(torch.device("cpu")) > 0
    monkeypatch.setattr("dsocr.kernels.memory.Path.read_text", lambda self: "")
    assert available_memory(torch.device("cpu")) == 4 * 2**30
    assert not MappedFiles().show(torch.zeros(3))
