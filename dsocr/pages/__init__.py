"""Files become pages, pages become views.

Views need torch: import them from dsocr.pages.tiling. All else here does without.
"""

from __future__ import annotations

from dsocr.pages.inputs import find_inputs
from dsocr.pages.modes import MODES, Mode, get_mode
from dsocr.pages.open import DEFAULT_DPI, Source, open_pages
from dsocr.pages.page import DEFAULT_MAX_PIXELS, MIN_SIDE_PX, BrokenPage, Page

__all__ = [
    "DEFAULT_DPI",
    "DEFAULT_MAX_PIXELS",
    "MIN_SIDE_PX",
    "MODES",
    "BrokenPage",
    "Mode",
    "Page",
    "Source",
    "find_inputs",
    "get_mode",
    "open_pages",
]
