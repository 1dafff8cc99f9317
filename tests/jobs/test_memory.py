"""Free memory goes back to the system now and then, and not all the time."""

from __future__ import annotations

import ctypes
import sys
import time
from pathlib import Path

import pytest

from dsocr.jobs import memory
from dsocr.jobs.memory import Housekeeper

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another allocator"
)


def resident() -> float:
    """MiB of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def leave_a_hole() -> ctypes.Array:
    """Lets go of 100 MiB below a piece that is kept, so that the allocator would keep them all."""
    pieces = [ctypes.create_string_buffer(100_000) for _ in range(1000)]
    return pieces[-1]


def test_what_is_free_goes_back(monkeypatch):
    monkeypatch.setattr(memory, "_PAUSE", 0)
    housekeeper = Housekeeper()
    housekeeper.sweep()
    before = resident()
    kept = leave_a_hole()
    housekeeper.sweep()
    assert resident() < before + 20
    assert len(kept) == 100_000


def test_it_is_not_done_for_every_page(monkeypatch):
    swept: list[float] = []
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: swept.append(time.monotonic()))
    monkeypatch.setattr(memory, "_PAUSE", 0.05)
    housekeeper, end = Housekeeper(), time.monotonic() + 0.5
    while time.monotonic() < end:
        housekeeper.sweep()
    assert 1 <= len(swept) <= 10
