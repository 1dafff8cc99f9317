"""How much memory is left, and giving back what shows files before these are closed."""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

_UNKNOWN = 4 * 2**30  # bytes
_GROUP = Path("/sys/fs/cgroup")  # of this process, in a container


def available_memory(device: torch.device) -> int:
    """Bytes that a device, or the machine or the container for its CPU, has left now; 4 GiB where it does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        left = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        left = _UNKNOWN
    return min(left, _left_in_group(left))


def _left_in_group(otherwise: int) -> int:
    """What a container's limit leaves, pages of files that can be taken back included; `otherwise` without one."""
    try:
        limit, used = ((_GROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        kept = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())
        return max(0, int(limit) - int(used) + int(kept["inactive_file"]) + int(kept["active_file"]))
    except (OSError, ValueError, KeyError):
        return otherwise


class MappedFiles:
    """The files that are mapped into this process at this moment, as Linux tells; none elsewhere."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []
        with suppress(OSError):
            for line in filter(None, Path("/proc/self/maps").read_bytes().split(b"\n")):
                where, _, _, _, inode, *_ = line.split(None, 5)
                if inode != b"0":
                    start, end = (int(address, 16) for address in where.split(b"-"))
                    self._ranges.append((start, end))

    def show(self, tensor: Tensor) -> bool:
        """Whether a tensor lies in one of them."""
        start, end = tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes
        return any(first <= start and end <= last for first, last in self._ranges)

    def forget(self, tensor: Tensor) -> None:
        """Give back the whole pages of a file under a tensor that nobody has written to; what is no file's stays.

        Who reads it all the same has it read from the file again.
        """
        start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        size = (tensor.data_ptr() + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE - start
        if size > 0 and self.show(tensor):
            give_back = ctypes.CDLL(None).madvise
            give_back.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
            give_back(start, size, mmap.MADV_DONTNEED)
