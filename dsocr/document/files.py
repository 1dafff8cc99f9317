"""A file of an answer: where it lies below the folder for answers, and what is in it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field

from PIL.Image import Image

from dsocr.document.blocks import Transcript
from dsocr.document.figures import crop_figures

_JPEG_SIDE_PX = 65_500  # what the format can hold, and a little less than its 16 bits could count


@dataclass(frozen=True)
class OutputFile:
    """A file to be written whole; its name may lead into folders, with / between them."""

    name: str
    content: bytes = field(repr=False)


def text_file(name: str, text: str) -> OutputFile:
    """A file of text and a last newline; half a surrogate pair, which no file can hold, becomes a question mark."""
    return OutputFile(name, (text + "\n").encode("utf-8", "replace"))


def jpeg(image: Image) -> bytes:
    """The picture at quality 95, made smaller where a JPEG cannot be as long."""
    buffer = io.BytesIO()
    if max(image.size) > _JPEG_SIDE_PX:
        image = image.copy()
        image.thumbnail((_JPEG_SIDE_PX, _JPEG_SIDE_PX))
    image.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def figure_files(transcript: Transcript) -> Iterator[OutputFile]:
    """The page's figures under their own names; InputError where the page's image was not kept."""
    for name, figure in crop_figures(transcript):
        yield OutputFile(name, jpeg(figure))
