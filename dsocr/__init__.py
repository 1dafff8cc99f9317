"""DeepSeek-OCR as real software: `dsocr.load("nano").read("page.png")` gives a Document."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dsocr.version import __version__ as __version__

if TYPE_CHECKING:
    from dsocr.document import (
        Block,
        Box,
        Document,
        MarkdownStyle,
        Transcript,
        crop_figures,
        join_pages,
        to_alto,
        to_docx,
        to_hocr,
        to_html,
        to_json,
        to_layout_pdf,
        to_markdown,
        to_official,
        to_pdf,
        to_picture,
        to_text,
    )
    from dsocr.engine.request import Delta, Generation, Sampling
    from dsocr.errors import EncryptedError, FileAccessError, InputError
    from dsocr.ocr import OCR, Options, Reading, load
    from dsocr.pages import MODES, BrokenPage, Page, find_inputs, open_pages
    from dsocr.prompts import PROMPTS
    from dsocr.views import Views

# Where each public name lives; imported when it is asked for, so that `dsocr --help` does not wait for torch.
_ROOMS = {
    "dsocr.ocr": ("load", "OCR", "Options", "Reading"),
    "dsocr.document": (
        *("Document", "Transcript", "Block", "Box", "MarkdownStyle", "crop_figures", "join_pages"),
        *("to_alto", "to_docx", "to_hocr", "to_html", "to_json", "to_layout_pdf", "to_markdown", "to_official"),
        *("to_pdf", "to_picture", "to_text"),
    ),
    "dsocr.engine.request": ("Sampling", "Delta", "Generation"),
    "dsocr.errors": ("InputError", "FileAccessError", "EncryptedError"),
    "dsocr.pages": ("MODES", "Page", "BrokenPage", "open_pages", "find_inputs"),
    "dsocr.prompts": ("PROMPTS",),
    "dsocr.views": ("Views",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "MODES",
    "OCR",
    "PROMPTS",
    "Block",
    "Box",
    "BrokenPage",
    "Delta",
    "Document",
    "EncryptedError",
    "FileAccessError",
    "Generation",
    "InputError",
    "MarkdownStyle",
    "Options",
    "Page",
    "Reading",
    "Sampling",
    "Transcript",
    "Views",
    "crop_figures",
    "find_inputs",
    "join_pages",
    "load",
    "open_pages",
    "to_alto",
    "to_docx",
    "to_hocr",
    "to_html",
    "to_json",
    "to_layout_pdf",
    "to_markdown",
    "to_official",
    "to_pdf",
    "to_picture",
    "to_text",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'dsocr' has no attribute {name!r}")
    return getattr(import_module(_ROOM_OF[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
