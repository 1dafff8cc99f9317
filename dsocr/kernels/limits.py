"""What this machine can do at most: bytes read from memory and arithmetic of three kinds, measured by the core."""

from __future__ import annotations

import ctypes

import torch

from dsocr.kernels.huge_pages import HugePages
from dsocr.kernels.library import core

BUFFER = 1 << 29  # bytes, more than the caches hold
_ROUNDS = 1 << 22  # of arithmetic in one timing: milliseconds
_TRIES = 7  # the best counts


def read_bandwidth(threads: int = 1) -> float | None:
    """Bytes per second of one long read on `threads` threads, the best of several; None without a core."""
    library = core()
    if library is None:
        return None
    buffer = HugePages().empty(BUFFER, dtype=torch.uint8).fill_(1)
    read = library.limit_read
    read.argtypes, read.restype = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int], ctypes.c_double
    return max(float(read(buffer.data_ptr(), BUFFER, threads)) for _ in range(_TRIES))


def fp32(threads: int = 1) -> float | None:
    """Float32 operations per second (a multiply-add is two); None without a core."""
    return _arithmetic("limit_fp32", threads)


def bf16(threads: int = 1) -> float | None:
    """Operations per second of bfloat16 dot products, summed in float32; None without a core."""
    return _arithmetic("limit_bf16", threads)


def int8(threads: int = 1) -> float | None:
    """Operations per second of int8 dot products; None without a core."""
    return _arithmetic("limit_int8", threads)


def _arithmetic(name: str, threads: int) -> float | None:
    library = core()
    if library is None:
        return None
    work = library[name]
    work.argtypes, work.restype = [ctypes.c_int64, ctypes.c_int], ctypes.c_double
    return max(float(work(_ROUNDS, threads)) for _ in range(_TRIES))
