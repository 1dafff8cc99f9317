"""What files show can be given back, and only that."""

from __future__ import annotations

import mmap
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from dsocr.kernels.memory import MappedFiles, available_memory

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped")
SIZE = 1 << 24


def resident() -> int:
    """Bytes of files in this process's memory, of those in memory too."""
    with open("/proc/self/status") as file:
        return sum(int(line.split()[1]) * 1024 for line in file if line.startswith(("RssFile:", "RssShmem:")))


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
    monkeypatch.setattr("dsocr.kernels.memory.Path.read_bytes", lambda self: b"")
    assert available_memory(torch.device("cpu")) == 4 * 2**30
    assert not MappedFiles().show(torch.zeros(3))


def test_a_container_has_what_its_limit_leaves(tmp_path, monkeypatch):
    monkeypatch.setattr("dsocr.kernels.memory._GROUP", tmp_path)
    of_machine = available_memory(torch.device("cpu"))
    for name, text in {
        "memory.max": "3000000\n",
        "memory.current": "2500000\n",
        "memory.stat": "anon 5\nactive_file 100\ninactive_file 2000\n",
    }.items():
        (tmp_path / name).write_text(text)
    assert available_memory(torch.device("cpu")) == 502_100
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(torch.device("cpu")) == pytest.approx(of_machine, rel=0.2)


@needs_linux
def test_files_of_any_name_are_found(tmp_path):
    path = bytes(tmp_path) + b"/\xff \xe2\x80\xa8 x"
    with open(path, "wb") as file:
        file.write(bytes(1 << 16))
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        shown = torch.frombuffer(mapped, dtype=torch.uint8)
        assert MappedFiles().show(shown)
        del shown
