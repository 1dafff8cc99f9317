"""The text that a page of a PDF holds already: whether it can be seen, and the page without what cannot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pikepdf
from pikepdf import Dictionary, Name, Object, Page, Stream, Token, TokenType

_SHOW = (b"Tj", b"TJ", b"'", b'"')  # the operators that write text
_BLANK = b"()<> \t\r\n"
_INVISIBLE = 3  # the text render mode of text that is there to be found only


@dataclass(frozen=True)
class Content:
    """A page, or a form that is drawn on it: whether it writes text of either kind, and it without the invisible."""

    holder: Page
    visible: bool
    invisible: bool
    rest: bytes


def read_contents(page: Page) -> Iterator[Content]:
    """The page, then the forms that it draws and the forms that those draw, each once."""
    waiting, seen = [(page, resources_of(page), 0)], set[tuple[int, int]]()
    while waiting:
        holder, resources, mode = waiting.pop()
        watch = _Watch(mode)
        rest = holder.get_filtered_contents(watch)
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

    def __init__(self, mode: int) -> None:
        super().__init__()
        self.visible = self.invisible = False
        self.drawn: list[tuple[bytes, int]] = []
        self._mode, self._saved = mode, list[int]()
        self._instruction: list[Token] = []

    def handle_token(self, token: Token = None) -> list[Token]:  # type: ignore[assignment]
        """Holds operands back until their operator comes."""
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


def _form(resources: Object, name: bytes) -> Stream | None:
    forms = resources.get("/XObject")
    try:
        form = forms.get(str(Object.parse(name))) if isinstance(forms, Dictionary) else None
    except (pikepdf.PdfError, UnicodeDecodeError):
        return None
    return form if isinstance(form, Stream) and form.get("/Subtype") == Name.Form else None
