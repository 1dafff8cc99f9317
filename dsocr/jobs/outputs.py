"""Where the answers go: Markdown streamed to one place, or a set of files for each document, written whole."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path

from PIL.Image import Image

from dsocr.document import (
    Document,
    StreamingMarkdown,
    Transcript,
    crop_figures,
    to_json,
    to_markdown,
    to_picture,
    to_text,
)
from dsocr.document.to_markdown import PAGE_SEPARATOR
from dsocr.errors import FileAccessError, InputError

PICTURE = "picture"
MARKDOWN = "md"
FORMATS: dict[str, Callable[[Document], str]] = {MARKDOWN: to_markdown, "json": to_json, "txt": to_text}
_NAME_BYTES = 200
_JPEG_SIDE_PX = 65_500  # what the format can hold, and a little less than its 16 bits could count


def parse_formats(names: str) -> tuple[str, ...]:
    """`md,json` → ("md", "json"); InputError for a format that does not exist."""
    known = (*FORMATS, PICTURE)
    formats = tuple(dict.fromkeys(name.strip() for name in names.split(",")))
    for name in formats:
        if name not in known:
            raise InputError(f"format {name!r} is unknown; known: {', '.join(known)}")
    return formats


class Printer:
    """Everything to one stream; Markdown alone comes as it is written, other forms when a document is read."""

    def __init__(self, formats: tuple[str, ...], write: Callable[[str], None]) -> None:
        """`write` takes text; a picture cannot go there."""
        if PICTURE in formats:
            raise InputError("format 'picture' needs a folder: add -o DIR")
        self._formats = formats
        self._write = write
        self._streams = formats == (MARKDOWN,)
        self._markdown: StreamingMarkdown | None = None
        self._begun = False

    def begin_document(self, source: str) -> None:
        """A document starts; its name is not shown."""

    def begin_page(self, page: int, width: int, height: int, labels_are_text: bool) -> None:
        """A page starts: what has been shown is marked off from it."""
        if self._streams and self._begun:
            self._write(PAGE_SEPARATOR)
        self._begun = True
        # A stream has no folder beside it for figures.
        self._markdown = StreamingMarkdown(page, width, height, None, labels_are_text)

    def add(self, text: str) -> None:
        """More of the page's text."""
        if self._streams and self._markdown:
            self._write(self._markdown.feed(text))

    def end_page(self, transcript: Transcript) -> None:
        """The page is read."""
        if self._streams and self._markdown:
            self._write(self._markdown.close(transcript.status, transcript.reason))

    def end_document(self, document: Document) -> None:
        """All pages are read."""
        if self._streams:
            self._write("\n")
            return
        for name in self._formats:
            text = to_markdown(document, None) if name == MARKDOWN else FORMATS[name](document)
            self._write(text + "\n")


class Folder:
    """NAME.md, NAME.json, … in a folder, with images/NAME/ for figures and NAME_layout_PAGE.jpg for pictures."""

    def __init__(self, root: Path, formats: tuple[str, ...]) -> None:
        """Makes the folder; FileAccessError if that is not allowed."""
        self._root, self._formats = root, formats
        self._taken: set[str] = set()
        self._name = ""
        with _writing(root):
            root.mkdir(parents=True, exist_ok=True)

    def begin_document(self, source: str) -> None:
        """Choose the document's name: that of its file, with its suffix where two files differ in nothing else."""
        path = Path(_shortened(Path(source).name))
        numbered = (f"{path.name}-{number}" for number in count(2))
        # On many disks A.md and a.md are one file; a name of dots is a folder.
        names = (name for name in chain((path.stem, path.name), numbered) if name.strip("."))
        self._name = next(name for name in names if name.casefold() not in self._taken)
        self._taken.add(self._name.casefold())

    def begin_page(self, page: int, width: int, height: int, labels_are_text: bool) -> None:
        """Files are written when a page is whole."""

    def add(self, text: str) -> None:
        """Files are written when a page is whole."""

    def end_page(self, transcript: Transcript) -> None:
        """Write what needs the page's picture: figures, and the layout picture where it was asked for."""
        if MARKDOWN in self._formats:
            for name, figure in crop_figures(transcript):
                self._save(f"images/{self._name}/{name}", _jpeg(figure))
        if PICTURE in self._formats and transcript.image is not None:
            self._save(f"{self._name}_layout_{transcript.page}.jpg", _jpeg(to_picture(transcript)))

    def end_document(self, document: Document) -> None:
        """Write the text forms."""
        for name in self._formats:
            if name == MARKDOWN:
                text = to_markdown(document, f"images/{self._name}") + "\n"
            elif name in FORMATS:
                text = FORMATS[name](document) + "\n"
            else:
                continue
            self._save(f"{self._name}.{name}", text.encode("utf-8", "replace"))

    def _save(self, name: str, content: bytes) -> None:
        path = self._root / name
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            half = path.with_name(f".{os.getpid()}.part")
            try:
                half.write_bytes(content)
                os.replace(half, path)  # whole or not at all
            finally:
                half.unlink(missing_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turns what a disk says into one line about the file."""
    try:
        yield
    except OSError as error:
        raise FileAccessError(f"{path}: cannot be written ({error.strerror or error})") from error


def _shortened(name: str) -> str:
    """A file name that leaves room for an ending: most disks hold 255 bytes."""
    stem, suffix = os.path.splitext(name)
    while len(os.fsencode(stem)) > _NAME_BYTES:
        stem = stem[:-1]
    return stem + suffix


def _jpeg(image: Image) -> bytes:
    buffer = io.BytesIO()
    if max(image.size) > _JPEG_SIDE_PX:
        image = image.copy()
        image.thumbnail((_JPEG_SIDE_PX, _JPEG_SIDE_PX))
    image.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()
