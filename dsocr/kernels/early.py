"""Kernels on a GPU (Triton) that are launched before the one before them has ended, and wait for it inside."""

from __future__ import annotations

import triton
import triton.language as tl

# mypy: disable-error-code="untyped-decorator,no-untyped-def"


class Early:
    """Whether kernels are launched so: `on` holds for all that are launched, or recorded, from then on."""

    on = False

    @classmethod
    def options(cls) -> dict[str, bool]:
        """What a launch is told."""
        return {"EARLY": True, "launch_pdl": True} if cls.on else {"EARLY": False}


@triton.jit
def wait_for_others(EARLY: tl.constexpr):
    """Stands before all that reads or writes what other kernels write or read."""
    if EARLY:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
