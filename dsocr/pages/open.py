"""Files, folders, standard input and pictures in memory become pages, one at a time."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, TypeAlias

from PIL import Image

from dsocr.errors import InputError
from dsocr.pages.inputs import STDIN, files_of, open_file, show
from dsocr.pages.page import DEFAULT_MAX_PIXELS, BrokenPage, Page
from dsocr.pages.page_ranges import PageRange, parse_ranges, select_pages
from dsocr.pages.pdf import PdfFile
from dsocr.pages.pictures import PictureFile, read_picture

Source: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | Page"

DEFAULT_DPI = 144.0  # as the model's authors draw their PDFs

# How the first bytes of a file tell its format; names and suffixes are not trusted.
_SIGNATURES = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "WebP": rb"RIFF....WEBP",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "BMP": rb"BM",
    "GIF": rb"GIF8[79]a",
    "PDF": rb".{0,1019}%PDF-",
}
_HEAD_BYTES = 1024


@dataclass(frozen=True)
class _Wish:
    """What the caller asked for, checked."""

    ranges: tuple[PageRange, ...]
    dpi: float
    password: str | None
    max_pixels: int


def open_pages(
    source: Source,
    *,
    pages: str | None = None,
    dpi: float = DEFAULT_DPI,
    password: str | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Iterator[Page | BrokenPage]:
    """The pages of a file, a folder (each file in turn), "-" (standard input), bytes, a Pillow image or a Page.

    pages is a selection such as "1-3,7,10-" of each file; dpi (dots per inch) and password are for PDFs. Each page
    of a TIFF and each frame of an animation is a page. A page that cannot be shown among others comes as a
    BrokenPage in its place; where it is the only one of its file, or the file itself cannot be used, InputError
    (FileAccessError, EncryptedError) is raised, which for a folder ends the walk: see find_inputs.
    """
    if not (math.isfinite(dpi) and dpi > 0):
        raise InputError(f"dpi {dpi:g} is not a resolution; the usual one is {DEFAULT_DPI:g}")
    if not isinstance(source, (str, os.PathLike, bytes, Image.Image, Page)):
        raise InputError(
            f"a {type(source).__name__} is no source of pages; give a path, bytes, a Pillow image or a Page"
        )
    if max_pixels < 1:
        raise InputError(f"max-pixels {max_pixels} leaves no page to read; the usual limit is {DEFAULT_MAX_PIXELS}")
    return _walk(source, _Wish(parse_ranges(pages), dpi, password, max_pixels))


def _walk(source: Source, wish: _Wish) -> Iterator[Page | BrokenPage]:
    if isinstance(source, Page):
        yield source
    elif isinstance(source, Image.Image):
        yield _read_image(source, wish)
    elif isinstance(source, bytes):
        yield from _read_file(BytesIO(source), "bytes", wish)
    elif source == STDIN:
        yield from _read_file(_read_stdin(), "stdin", wish)
    elif source == "":
        raise InputError("the file name is empty")
    else:
        for path in files_of(source):
            with open_file(path) as file:
                yield from _read_file(file, str(path), wish)


def _read_image(image: Image.Image, wish: _Wish) -> Page:
    source = str(getattr(image, "filename", "") or "image")
    with _naming(source):
        select_pages(wish.ranges, 1)
        return read_picture(image, source, 1, max_pixels=wish.max_pixels)


def _read_stdin() -> BinaryIO:
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("stdin: nothing is piped in; write, for example, cat page.png | dsocr read -")
    return BytesIO(sys.stdin.buffer.read())


def _read_file(file: BinaryIO, source: str, wish: _Wish) -> Iterator[Page | BrokenPage]:
    with _naming(source):
        opened = _open(file, source, wish)
    with closing(opened):
        with _naming(source):
            numbers = select_pages(wish.ranges, len(opened))
        for number in numbers:
            yield _read_page(opened, source, number)


def _open(file: BinaryIO, source: str, wish: _Wish) -> PdfFile | PictureFile:
    format = _recognise(file)
    if format == "PDF":
        return PdfFile(file, source, password=wish.password, dpi=wish.dpi, max_pixels=wish.max_pixels)
    return PictureFile(file, source, format, max_pixels=wish.max_pixels)


def _recognise(file: BinaryIO) -> str:
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    if not head:
        raise InputError("the file is empty")
    for format, signature in _SIGNATURES.items():
        if re.match(signature, head, re.DOTALL):
            return format
    raise InputError(f"its content is in none of the known formats: {', '.join(_SIGNATURES)}")


def _read_page(opened: PdfFile | PictureFile, source: str, number: int) -> Page | BrokenPage:
    """A bad page must not cost the good ones around it; alone, it is the file that is bad."""
    try:
        return opened.read(number)
    except InputError as error:
        if len(opened) > 1:
            return BrokenPage(source, number, str(error))
        raise type(error)(f"{show(source)}: {error}") from error


@contextmanager
def _naming(source: str) -> Iterator[None]:
    """Says in an error which file it is about, so that those who find the error need not know."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{show(source)}: {error}") from error
