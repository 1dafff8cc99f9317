"""The compiled core: one shared library for each instruction set, the best that this machine can run is loaded.

It is never compiled unasked: `python -m dsocr.kernels.build` does so. Without it everything runs on plain PyTorch.
"""

from __future__ import annotations

import ctypes
import hashlib
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch  # loaded first, so that the core shares its OpenMP threads
from torch import Tensor

SOURCES = Path(__file__).parent / "src"
LIBRARIES = Path(__file__).parent / "lib"


@dataclass(frozen=True)
class Level:
    """One instruction set: the compiler's options for it, and what Linux calls the features it needs."""

    name: str
    options: tuple[str, ...] = ()
    features: frozenset[str] = frozenset()


_VNNI = Level(
    "avx512-vnni",
    ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni", "-mfma", "-mf16c"),
    frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni", "fma", "f16c"}),
)
LEVELS = (  # the best first
    Level("avx512", (*_VNNI.options, "-mavx512bf16"), _VNNI.features | {"avx512_bf16"}),
    _VNNI,  # as Intel's processors for servers have it from 2019 on
    Level("avx2", ("-mavx2", "-mfma", "-mf16c"), frozenset({"avx2", "fma", "f16c"})),
    Level("plain"),
)


def core() -> ctypes.CDLL | None:
    """The best core that is built, fits its sources and runs on this CPU; None when there is none."""
    name = level()
    return load(LEVELS[[known.name for known in LEVELS].index(name)]) if name else None


@cache
def level() -> str | None:
    """What the loaded core is: "avx512", "avx512-vnni", "avx2", "plain", or None."""
    features = cpu_features()
    for known in LEVELS:
        if known.features <= features and load(known) is not None:
            return known.name
    return None


@cache
def load(level: Level) -> ctypes.CDLL | None:
    """The core of one level, or None; the CPU must have its features."""
    try:
        return ctypes.CDLL(str(library_path(level)))
    except OSError:
        return None


def call(library: ctypes.CDLL, name: str, *given: Tensor | int | float | None) -> None:
    """A function of the core with tensors' addresses, numbers, and last the number of threads.

    Tensors must lie as the function reads them, and live until it returns.
    """
    getattr(library, name)(*map(_as_c, given), ctypes.c_int64(torch.get_num_threads()))


def _as_c(value: Tensor | int | float | None) -> ctypes.c_void_p | ctypes.c_int64 | ctypes.c_double:
    if value is None or isinstance(value, Tensor):
        return ctypes.c_void_p(value.data_ptr() if value is not None else None)
    return ctypes.c_double(value) if isinstance(value, float) else ctypes.c_int64(value)


def library_path(level: Level) -> Path:
    """Where the core of a level lies; the name holds a digest of the sources, so that a stale one is never loaded."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.glob("*.[ch]*")):
        digest.update(path.read_bytes())
    return LIBRARIES / f"core-{level.name}-{digest.hexdigest()[:8]}.so"


def cpu_features() -> frozenset[str]:
    """The features of an x86 CPU as Linux names them; empty elsewhere, where the plain core serves."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return frozenset()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return next((frozenset(line.split()) for line in lines if line.startswith("flags")), frozenset())
