"""A document as JSON: every page with its status, raw text, blocks, and boxes in the grid, in pixels and in points."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from dsocr.document.blocks import Block, Box, Document, Transcript
from dsocr.document.figures import find_figures

SCHEMA = "dsocr.document/1"  # the number grows when a field changes its meaning or goes away

_POINTS_PER_INCH = 72
_SURROGATE = re.compile("[\ud800-\udfff]")


def to_json(document: Document, indent: int | None = 2) -> str:
    """The document as JSON that can always be written as UTF-8, whatever the model wrote."""
    text = json.dumps(to_dict(document), ensure_ascii=False, allow_nan=False, indent=indent)
    # UTF-8 has no form for half a surrogate pair, a JSON escape has.
    return _SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def to_dict(document: Document) -> dict[str, Any]:
    """The document as dicts and lists, in the shape of its JSON.

    A box is [left, top, right, bottom] from the page's upper left corner: "grid" as the model wrote it, "pixels" of
    the page's image, "points" of 1/72 inch, as in a PDF; points are null where the page's dpi is not known.
    """
    return {
        "schema": SCHEMA,
        "source": document.source,
        "pages": [_page(transcript) for transcript in document.transcripts],
    }


def _page(page: Transcript) -> dict[str, Any]:
    return {
        "number": page.page,
        "width": page.width,
        "height": page.height,
        "dpi": _dpi(page),
        "rotated": page.rotated,
        "status": page.status,
        "reason": page.reason,
        "attempts": page.attempts,
        "confidence": None if page.confidence is None else round(page.confidence, 4),
        "raw": page.raw,
        "blocks": [_block(block, page) for block in page.blocks],
        "figures": [
            {"name": name, "pixels": list(pixels), "points": _points(pixels, page)}
            for name, pixels in find_figures(page)
        ],
    }


def _block(block: Block, page: Transcript) -> dict[str, Any]:
    return {"label": block.label, "text": block.text, "boxes": [_box(box, page) for box in block.boxes]}


def _box(box: Box, page: Transcript) -> dict[str, Any]:
    pixels = box.to_pixels(page.width, page.height)
    return {
        "grid": [box.left, box.top, box.right, box.bottom],
        "pixels": list(pixels),
        "points": _points(pixels, page),
    }


def _points(pixels: tuple[int, int, int, int], page: Transcript) -> list[float] | None:
    dpi = _dpi(page)
    return None if dpi is None else [round(pixel * _POINTS_PER_INCH / dpi, 2) for pixel in pixels]


def _dpi(page: Transcript) -> float | None:
    """What JSON has a number for, and what a page can have."""
    return page.dpi if page.dpi is not None and 1 <= page.dpi < math.inf else None
