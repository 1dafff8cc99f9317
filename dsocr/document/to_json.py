"""A document as JSON: every page with its status, raw text, blocks, and boxes in the grid and in pixels."""

from __future__ import annotations

import json
import re
from typing import Any

from dsocr.document.blocks import Block, Document, Transcript
from dsocr.document.figures import find_figures

SCHEMA = "dsocr.document/1"  # the number grows when a field changes its meaning or goes away

_SURROGATE = re.compile("[\ud800-\udfff]")


def to_json(document: Document, indent: int | None = 2) -> str:
    """The document as JSON that can always be written as UTF-8, whatever the model wrote."""
    text = json.dumps(to_dict(document), ensure_ascii=False, allow_nan=False, indent=indent)
    # UTF-8 has no form for half a surrogate pair, a JSON escape has.
    return _SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def to_dict(document: Document) -> dict[str, Any]:
    """The document as dicts and lists, in the shape of its JSON."""
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
        "status": page.status,
        "reason": page.reason,
        "raw": page.raw,
        "blocks": [_block(block, page.width, page.height) for block in page.blocks],
        "figures": [{"name": name, "pixels": list(pixels)} for name, pixels in find_figures(page)],
    }


def _block(block: Block, width: int, height: int) -> dict[str, Any]:
    boxes = [
        {"grid": [box.left, box.top, box.right, box.bottom], "pixels": list(box.to_pixels(width, height))}
        for box in block.boxes
    ]
    return {"label": block.label, "text": block.text, "boxes": boxes}
