"""A document as hOCR: valid XHTML with a box in pixels for every block, line and word."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from dsocr.document.blocks import OK, Document, Transcript
from dsocr.document.figures import FIGURE_LABEL
from dsocr.document.plain_text import printable
from dsocr.document.words import Frame, TextBlock, TextLine, lay_out
from dsocr.version import __version__

_HEAD = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml">
<head>
<title></title>
<meta http-equiv="Content-Type" content="text/html; charset=utf-8" />
<meta name="ocr-system" content="dsocr {__version__}" />
<meta name="ocr-capabilities" content="ocr_page ocr_carea ocr_par ocr_line ocrx_word ocr_photo" />
</head>
<body>"""
_FOOT = """\
</body>
</html>
"""


def to_hocr(pages: Document | Transcript) -> str:
    """hOCR of a document or of one page, to be written as UTF-8.

    Lines and words are laid out in their blocks as `lay_out` says: near, not exact. A page that did not end well has
    its status as x_status.
    """
    transcripts, source = (pages.transcripts, pages.source) if isinstance(pages, Document) else ((pages,), None)
    written = (line for number, page in enumerate(transcripts, 1) for line in _page(page, number, source))
    return "\n".join((_HEAD, *written, _FOOT))


def _page(page: Transcript, number: int, source: str | None) -> Iterator[str]:
    about = [f"bbox 0 0 {page.width} {page.height}", f"ppageno {page.page - 1}"]
    if source is not None:
        about.append(f'image "{printable(source).replace(chr(34), chr(39))}"')
    if page.status != OK:
        about.append(f"x_status {printable(page.status)}")
    yield f'<div class="ocr_page" id="page_{number}" title="{escape("; ".join(about))}">'
    for place, block in enumerate(lay_out(page), 1):
        yield from _block(block, f"{number}_{place}")
    yield "</div>"


def _block(block: TextBlock, number: str) -> Iterator[str]:
    if block.label == FIGURE_LABEL:
        yield f'<div class="ocr_photo" id="photo_{number}" title="{_bbox(block.frame)}"></div>'
    if not block.lines:
        return
    yield f'<div class="ocr_carea" id="block_{number}" title="{_bbox(block.frame)}">'
    direction = ' dir="rtl"' if block.lines[0].right_to_left else ""
    yield f'<p class="ocr_par" id="par_{number}"{direction} title="{_bbox(block.frame)}">'
    for place, line in enumerate(block.lines, 1):
        yield from _line(line, f"{number}_{place}")
    yield "</p>"
    yield "</div>"


def _line(line: TextLine, number: str) -> Iterator[str]:
    yield f'<span class="ocr_line" id="line_{number}" title="{_bbox(line.frame)}">'
    for place, word in enumerate(line.words, 1):
        name, text = f"word_{number}_{place}", escape(word.text, quote=False)
        yield f'<span class="ocrx_word" id="{name}" title="{_bbox(word.frame)}">{text}</span>'
    yield "</span>"


def _bbox(frame: Frame) -> str:
    return "bbox {} {} {} {}".format(*frame.to_pixels())
