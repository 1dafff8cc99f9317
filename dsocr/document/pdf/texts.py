"""The text that a page of a PDF holds already: whether it can be seen, and the page without what cannot."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pikepdf
from pikepdf import Array, Dictionary, Name, Object, Page, Stream, Token, TokenType

_SHOW = (b"Tj", b"TJ", b"'", b'"')  # the operators that write text
_MAY_SHOW = re.compile(rb"T[jJ]|['\"]|Do")  # without one of these there is no text, and no form that might have some
_BLANK = b"()<> \t\r\n"
_INVISIBLE = 3  # the text render mode of text that is there to be found only
_MOST_BYTES = 64 * 2**20  # of a page's content, unpacked
_MOST_TOKENS = 200_000  # of a page: some seconds; one full of print has ten thousand
_RATIO = 1032  # bytes that may come of a packed one
_NOT_PACKED = ("/ASCII85Decode", "/A85", "/ASCIIHexDecode", "/AHx")


class TooMuch(Exception):
    """The content of a page is too large to be looked through."""


@dataclass(frozen=True)
class Content:
    """A page, or a form that is drawn on it: whether it writes text of either kind, and it without the invisible."""

    holder: Page
    visible: bool
    invisible: bool
    rest: bytes


def read_contents(page: Page) -> Iterator[Content]:
    """The page, then forms that it draws and forms that those draw, each once; TooMuch if they are too long."""
    waiting, seen = [(page, resources_of(page), 0)], set[tuple[int, int]]()
    bytes_left, tokens_left = _MOST_BYTES, _MOST_TOKENS
    while waiting:
        holder, resources, mode = waiting.pop()
        content = _unpack(holder, bytes_left)
        bytes_left -= len(content)
        if not _MAY_SHOW.search(content):
            continue
        watch = _Watch(mode, tokens_left)
        rest = holder.get_filtered_contents(watch)
        tokens_left = watch.tokens_left
        yield Content(holder, watch.visible, watch.invisible, rest)
        for name, form_mode in watch.drawn:
            form = _form(resources, name)
            if form is not None and form.objgen not in seen:
                seen.add(form.objgen)
                own = form.get("/Resources")
                # Old forms use what their page has.
                waiting.append((Page(form), own if isinstance(own, Dictionary) else resources, form_mode))


def resources_of(page: Page) -> Object:
    """The page's fonts, pictures and forms by their names, empty where there are none."""
    found = page.obj.get("/Resources")
    return found if isinstance(found, Dictionary) else Dictionary()


class _Watch(pikepdf.TokenFilter):
    """Reads a content stream part by part, follows the text render mode, and lets all but invisible text pass."""

    def __init__(self, mode: int, most: int) -> None:
        """most: tokens, beyond which it is TooMuch."""
        super().__init__()
        self.tokens_left = most
        self.visible = self.invisible = False
        self.drawn: list[tuple[bytes, int]] = []
        self._mode, self._saved = mode, list[int]()
        self._instruction: list[Token] = []

    def handle_token(self, token: Token = None) -> list[Token]:  # type: ignore[assignment]
        """Holds operands back until their operator comes."""
        self.tokens_left -= 1
        if self.tokens_left < 0:
            raise TooMuch
        self._instruction.append(token)
        if token.type_ not in (TokenType.word, TokenType.eof):
            return []
        parts, self._instruction = self._instruction, []
        return parts if self._passes(token.raw_value, parts) else []

    def _passes(self, operator: bytes, parts: list[Token]) -> bool:
        if operator == b"q":
            self._saved.append(self._mode)
        elif operator == b"Q" and self._saved:
            self._mode = self._saved.pop()
        elif operator == b"Tr":
            self._mode = next((int(part.raw_value) for part in parts if part.type_ == TokenType.integer), self._mode)
        elif operator == b"Do":
            self.drawn += [(part.raw_value, self._mode) for part in parts if part.type_ == TokenType.name_]
        elif operator in _SHOW:
            return self._passes_text(parts)
        return True

    def _passes_text(self, parts: list[Token]) -> bool:
        if not any(part.type_ == TokenType.string and part.raw_value.strip(_BLANK) for part in parts):
            return True
        self.invisible |= self._mode == _INVISIBLE
        self.visible |= self._mode != _INVISIBLE
        return self._mode != _INVISIBLE


def _unpack(holder: Page, most: int) -> bytes:
    """All that a page or a form draws, as far as qpdf can make it out; TooMuch where it may be more than that."""
    found = holder.obj if isinstance(holder.obj, Stream) else holder.obj.get("/Contents")
    blocks = []
    for stream in list(found) if isinstance(found, Array) else [found]:
        if isinstance(stream, Stream):
            blocks.append(_unpack_stream(stream, most))
            most -= len(blocks[-1])
    return b"\n".join(blocks)


def _unpack_stream(stream: Stream, most: int) -> bytes:
    raw, filters = stream.read_raw_bytes(), stream.get("/Filter")
    names = [str(name) for name in (filters if isinstance(filters, Array) else [filters]) if name is not None]
    content = None
    if names == ["/FlateDecode"] and "/DecodeParms" not in stream:
        with suppress(zlib.error):  # qpdf may yet make something of it
            content = zlib.decompressobj().decompress(raw, most + 1)
    if content is None:
        packed = [name for name in names if name not in _NOT_PACKED]
        if len(raw) * _RATIO ** len(packed) > most:
            raise TooMuch
        content = stream.read_bytes()
    if len(content) > most:
        raise TooMuch
    return content


def _form(resources: Object, name: bytes) -> Stream | None:
    forms = resources.get("/XObject")
    try:
        form = forms.get(str(Object.parse(name))) if isinstance(forms, Dictionary) else None
    except (pikepdf.PdfError, UnicodeDecodeError):
        return None
    return form if isinstance(form, Stream) and form.get("/Subtype") == Name.Form else None
