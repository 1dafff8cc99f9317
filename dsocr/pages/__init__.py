"""Files become pages, pages become views.

What looks at a page's pixels is imported from its own file: views from dsocr.pages.tiling, which needs torch, is_blank
and looks_turned from dsocr.pages.blank and sideways, which need numpy. All else here does without.
"""

from __future__ import annotations

from dsocr.pages.apart import Child
from dsocr.pages.archives import ArchiveLimits, Member
from dsocr.pages.inputs import Input, find_inputs, holds_documents, walk_inputs
from dsocr.pages.modes import MODES, Mode, get_mode
from dsocr.pages.open import DEFAULT_DPI, Source, measure_pages, open_pages
from dsocr.pages.page import DEFAULT_MAX_PIXELS, MIN_SIDE_PX, BrokenPage, Page, PageSize

__all__ = [
    "DEFAULT_DPI",
    "DEFAULT_MAX_PIXELS",
    "MIN_SIDE_PX",
    "MODES",
    "ArchiveLimits",
    "BrokenPage",
    "Child",
    "Input",
    "Member",
    "Mode",
    "Page",
    "PageSize",
    "Source",
    "find_inputs",
    "get_mode",
    "holds_documents",
    "measure_pages",
    "open_pages",
    "walk_inputs",
]
