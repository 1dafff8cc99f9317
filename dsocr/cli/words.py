"""Help texts that several commands share."""

from __future__ import annotations

DTYPES_HELP = "auto, float32, bfloat16, float16; int8, int4: the decoder in few bits."
