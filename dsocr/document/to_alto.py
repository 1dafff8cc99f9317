"""A document as ALTO 4, the XML of libraries and archives: blocks, lines and words with their places in pixels."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from dsocr.document.blocks import OK, Document, Transcript
from dsocr.document.figures import FIGURE_LABEL
from dsocr.document.plain_text import printable
from dsocr.document.words import Frame, TextBlock, TextLine, lay_out
from dsocr.version import __version__

_NAMESPACE = "http://www.loc.gov/standards/alto/ns-v4#"
_SCHEMA = "http://www.loc.gov/standards/alto/v4/alto-4-4.xsd"


def to_alto(pages: Document | Transcript) -> str:
    """ALTO 4.4 of a document or of one page, to be written as UTF-8.

    Lines and words are laid out in their blocks as `lay_out` says: near, not exact. The labels of blocks are layout
    tags; a page that did not end well has its status and reason in QUALITY_DETAIL.
    """
    transcripts, source = (pages.transcripts, pages.source) if isinstance(pages, Document) else ((pages,), None)
    laid_out = [lay_out(page) for page in transcripts]
    labels = dict.fromkeys(printable(block.label) for blocks in laid_out for block in blocks)
    tags = {label: f"label_{number}" for number, label in enumerate(filter(None, labels), 1)}
    lines = [*_head(source), *_tags(tags), "<Layout>"]
    for number, (page, blocks) in enumerate(zip(transcripts, laid_out, strict=True), 1):
        lines += _page(page, blocks, tags, number)
    return "\n".join((*lines, "</Layout>", "</alto>", ""))


def _head(source: str | None) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield (
        f'<alto xmlns="{_NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{_NAMESPACE} {_SCHEMA}" SCHEMAVERSION="4.4">'
    )
    yield "<Description>"
    yield "<MeasurementUnit>pixel</MeasurementUnit>"
    if source is not None:
        name = escape(printable(source))
        yield f"<sourceImageInformation><fileName>{name}</fileName></sourceImageInformation>"
    yield '<Processing ID="reading">'
    yield "<processingCategory>contentGeneration</processingCategory>"
    yield "<processingSoftware>"
    yield f"<softwareName>dsocr</softwareName><softwareVersion>{__version__}</softwareVersion>"
    yield "</processingSoftware>"
    yield "</Processing>"
    yield "</Description>"


def _tags(tags: dict[str, str]) -> Iterator[str]:
    if tags:
        yield "<Tags>"
        yield from (f'<LayoutTag ID="{name}" LABEL="{escape(label)}"/>' for label, name in tags.items())
        yield "</Tags>"


def _page(page: Transcript, blocks: tuple[TextBlock, ...], tags: dict[str, str], number: int) -> Iterator[str]:
    size = f'WIDTH="{page.width}" HEIGHT="{page.height}"'
    quality = ""
    if page.status != OK:
        words = ": ".join(part for part in (page.status, page.reason) if part)
        quality = f' QUALITY_DETAIL="{escape(printable(words))}"'
    yield f'<Page ID="page_{number}" PHYSICAL_IMG_NR="{page.page}" {size}{quality}>'
    yield f'<PrintSpace HPOS="0" VPOS="0" {size}>'
    for place, block in enumerate(blocks, 1):
        yield from _block(block, tags, f"{number}_{place}")
    yield "</PrintSpace>"
    yield "</Page>"


def _block(block: TextBlock, tags: dict[str, str], number: str) -> Iterator[str]:
    tag = tags.get(printable(block.label))
    about = (f' TAGREFS="{tag}"' if tag else "") + _position(block.frame)
    if block.label == FIGURE_LABEL:
        yield f'<Illustration ID="figure_{number}"{about}/>'
    if block.lines:
        yield f'<TextBlock ID="block_{number}"{about}>'
        for place, line in enumerate(block.lines, 1):
            yield from _line(line, f"{number}_{place}")
        yield "</TextBlock>"


def _line(line: TextLine, number: str) -> Iterator[str]:
    direction = ' BASEDIRECTION="rtl"' if line.right_to_left else ""
    yield f'<TextLine ID="line_{number}"{_position(line.frame)}{direction}>'
    for place, word in enumerate(line.words):
        if place:
            yield f"<SP{_position(_between(line.words[place - 1].frame, word.frame))}/>"
        yield f'<String{_position(word.frame)} CONTENT="{escape(word.text)}"/>'
    yield "</TextLine>"


def _between(one: Frame, other: Frame) -> Frame:
    """The gap between two words of a line, whichever stands on the left."""
    left, right = sorted((one, other), key=lambda frame: frame.left)
    return Frame(left.right, left.top, right.left, right.bottom)


def _position(frame: Frame) -> str:
    left, top, right, bottom = frame.to_pixels()
    return f' HPOS="{left}" VPOS="{top}" WIDTH="{right - left}" HEIGHT="{bottom - top}"'
