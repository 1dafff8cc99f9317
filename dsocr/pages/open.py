"""Files, folders, standard input and pictures in memory become pages, one at a time."""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, cast

from PIL import Image

from dsocr.errors import InputError
from dsocr.pages.apart import Child
from dsocr.pages.formats import PagedFile, Wish, open_paged
from dsocr.pages.inputs import STDIN, files_of, open_input
from dsocr.pages.names import show
from dsocr.pages.page import DEFAULT_MAX_PIXELS, BrokenPage, Page, PageSize
from dsocr.pages.page_ranges import PageRange, parse_ranges, select_pages
from dsocr.pages.pictures import read_picture
from dsocr.pages.urls import is_url, parse_url

if TYPE_CHECKING:
    from dsocr.pages.fetch import Web

Source: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | Page"

_MOST_STDIN = 2 * 2**30  # bytes
_IN_MEMORY, _BLOCK = 64 * 2**20, 2**20
DEFAULT_DPI = 144.0  # as the model's authors draw their PDFs


@dataclass(frozen=True)
class _Task:
    """What the caller asked for, checked."""

    ranges: tuple[PageRange, ...]
    wish: Wish
    open: Callable[[BinaryIO, str, Wish], PagedFile]
    web: Web | None


def open_pages(
    source: Source,
    *,
    pages: str | None = None,
    dpi: float = DEFAULT_DPI,
    password: str | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    apart: bool | Child = False,
    web: Web | None = None,
) -> Iterator[Page | BrokenPage]:
    """The pages of a file, a folder or archive (each file in turn), an http(s) address, "-" (standard input), bytes,
    a Pillow image or a Page.

    pages is a selection such as "1-3,7,10-" of each file; dpi (dots per inch) and password are for PDFs. Each page
    of a TIFF and each frame of an animation is a page. A page that cannot be shown among others comes as a
    BrokenPage in its place; where it is the only one of its file, or the file itself cannot be used, InputError
    (FileAccessError, EncryptedError) is raised, which for a folder ends the walk: see find_inputs.

    apart: decoders run in a child process with limits, so that a file can do no harm to this one. True starts one for
    this call; a Child serves any number of calls. web: the limits of what is fetched.
    """
    if not isinstance(source, (str, os.PathLike, bytes, Image.Image, Page)):
        raise InputError(
            f"a {type(source).__name__} is no source of pages; give a path, bytes, a Pillow image or a Page"
        )
    ranges, wish = parse_ranges(pages), _make_wish(dpi, password, max_pixels)
    if apart is True:
        return _walk_apart(source, ranges, wish, web)
    return _walk(source, _Task(ranges, wish, apart.open if apart else open_paged, web))


def measure_pages(
    path: str | os.PathLike[str],
    *,
    pages: str | None = None,
    dpi: float = DEFAULT_DPI,
    password: str | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    apart: bool | Child = False,
) -> list[PageSize]:
    """How large the pages of a file are that open_pages would give; none of them is drawn or decoded.

    apart: as in open_pages. Raises InputError (FileAccessError, EncryptedError) where the file cannot be used.
    """
    if apart is True:
        with Child() as child:
            return measure_pages(path, pages=pages, dpi=dpi, password=password, max_pixels=max_pixels, apart=child)
    ranges, wish = parse_ranges(pages), _make_wish(dpi, password, max_pixels)
    open_there = apart.open if apart else open_paged
    with open_input(path) as file, _naming(str(path)), closing(open_there(file, str(path), wish)) as opened:
        return [_measure(opened, number) for number in select_pages(ranges, len(opened))]


def _make_wish(dpi: float, password: str | None, max_pixels: int) -> Wish:
    if not (math.isfinite(dpi) and dpi > 0):
        raise InputError(f"dpi {dpi:g} is not a resolution; the usual one is {DEFAULT_DPI:g}")
    if max_pixels < 1:
        raise InputError(f"max-pixels {max_pixels} leaves no page to read; the usual limit is {DEFAULT_MAX_PIXELS}")
    return Wish(dpi, password, max_pixels)


def _walk_apart(
    source: Source, ranges: tuple[PageRange, ...], wish: Wish, web: Web | None
) -> Iterator[Page | BrokenPage]:
    with Child() as child:
        yield from _walk(source, _Task(ranges, wish, child.open, web))


def _walk(source: Source, task: _Task) -> Iterator[Page | BrokenPage]:
    if isinstance(source, Page):
        yield source
    elif isinstance(source, Image.Image):
        yield _read_image(source, task)
    elif isinstance(source, bytes):
        yield from _read_file(BytesIO(source), "bytes", task)
    elif source == STDIN:
        with _read_stdin() as file:
            yield from _read_file(file, "stdin", task)
    elif source == "":
        raise InputError("the file name is empty")
    elif is_url(source):
        with _fetch(str(source), task) as file:
            yield from _read_file(file, str(parse_url(str(source))), task)
    else:
        for path in files_of(source):
            with open_input(path) as file:
                yield from _read_file(file, str(path), task)


def _read_image(image: Image.Image, task: _Task) -> Page:
    source = str(getattr(image, "filename", "") or "image")
    with _naming(source):
        select_pages(task.ranges, 1)
        return read_picture(image, source, 1, max_pixels=task.wish.max_pixels)


def _read_stdin() -> BinaryIO:
    """All of standard input, in memory where it is small and in a file without a name else."""
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("stdin: nothing is piped in; write, for example, cat page.png | dsocr read -")
    kept: BinaryIO = BytesIO()
    try:
        while block := sys.stdin.buffer.read(_BLOCK):
            kept.write(block)
            if kept.tell() > _MOST_STDIN:
                raise InputError(
                    f"stdin: more than the limit of {_MOST_STDIN:,} bytes; save it as a file, and name that"
                )
            if isinstance(kept, BytesIO) and kept.tell() > _IN_MEMORY:
                small, kept = kept, cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - it goes with its last user
                kept.write(small.getbuffer())
    except OSError as error:
        raise InputError(
            f"stdin: it cannot be kept here ({error.strerror}); save it as a file, and name that"
        ) from error
    return kept


def _fetch(address: str, task: _Task) -> BinaryIO:
    from dsocr.pages.fetch import fetch  # Most runs do without the network, and so do all children.

    return fetch(address, task.web)


def _read_file(file: BinaryIO, source: str, task: _Task) -> Iterator[Page | BrokenPage]:
    with _naming(source):
        opened = task.open(file, source, task.wish)
    with closing(opened):
        with _naming(source):
            numbers = select_pages(task.ranges, len(opened))
        for number in numbers:
            yield _read_page(opened, source, number)


def _read_page(opened: PagedFile, source: str, number: int) -> Page | BrokenPage:
    """A bad page must not cost the good ones around it; alone, it is the file that is bad."""
    try:
        return opened.read(number)
    except InputError as error:
        if len(opened) > 1:
            return BrokenPage(source, number, str(error))
        raise type(error)(f"{show(source)}: {error}") from error


def _measure(opened: PagedFile, number: int) -> PageSize:
    try:
        return PageSize(number, *opened.measure(number))
    except InputError:  # what is wrong with it is said when it is read
        return PageSize(number, 0, 0)


@contextmanager
def _naming(source: str) -> Iterator[None]:
    """Says in an error which file it is about, so that those who find the error need not know."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{show(source)}: {error}") from error
