"""What the model wrote, as blocks with boxes, and the forms it can take."""

from __future__ import annotations

from dsocr.document.blocks import (
    BLANK,
    FAILED,
    LOOPED,
    OK,
    SKIPPED,
    STATUSES,
    TRUNCATED,
    Block,
    Box,
    Document,
    Transcript,
)
from dsocr.document.figures import crop_figures, find_figures
from dsocr.document.geometry import Geometry, read_geometry
from dsocr.document.grounding import StreamParser, Tag, parse, write
from dsocr.document.to_json import to_dict, to_json
from dsocr.document.to_markdown import StreamingMarkdown, to_markdown
from dsocr.document.to_picture import to_picture
from dsocr.document.to_text import to_text

__all__ = [
    "BLANK",
    "FAILED",
    "LOOPED",
    "OK",
    "SKIPPED",
    "STATUSES",
    "TRUNCATED",
    "Block",
    "Box",
    "Document",
    "Geometry",
    "StreamParser",
    "StreamingMarkdown",
    "Tag",
    "Transcript",
    "crop_figures",
    "find_figures",
    "parse",
    "read_geometry",
    "to_dict",
    "to_json",
    "to_markdown",
    "to_picture",
    "to_text",
    "write",
]
