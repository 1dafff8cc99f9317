"""Memory that is free goes back to the system: the allocator of most Linux systems keeps it, in ever more pieces."""

from __future__ import annotations

import ctypes
import sys
import time

_PAUSE = 0.5  # seconds; to give back takes a twentieth of this


class Housekeeper:
    """Gives free memory back now and then, so that a long run takes no more of it than a short one."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def sweep(self) -> None:
        """Give back what is free, unless this has just been done."""
        if time.monotonic() - self._last < _PAUSE:
            return
        if sys.platform == "linux":
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not every Linux has this allocator
            if trim:
                trim(0)
        self._last = time.monotonic()
