r"""Maths in a text, as the model marks it: `\(…\)` in a line, `\[…\]` on its own; found, and put between dollars."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_ENDS = {"\\(": "\\)", "\\[": "\\]"}
# A backslash and what it escapes are one token: the brackets in `\\[2pt]` begin no maths.
_TOKEN = re.compile(r"\\[\s\S]|\$[0-9]|[^\\$]+|[\\$]")
_ESCAPE = re.compile(r"\\[\s\S]")
_DOLLAR = re.compile(r"(\\[\s\S])|\$(?=[0-9])")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")


@dataclass(frozen=True, slots=True)
class Maths:
    """One formula: its LaTeX, and whether it stands on its own."""

    latex: str
    display: bool

    @property
    def source(self) -> str:
        """The formula as the model wrote it."""
        return f"\\[{self.latex}\\]" if self.display else f"\\({self.latex}\\)"


class MathsParser:
    """Finds formulas in text that arrives in pieces of any size; a formula is held back until it is closed.

    One that is not closed before the next begins is text, and so is one in a line that has a blank line in it.
    """

    def __init__(self) -> None:
        self._half = ""
        self._held: list[str] = []

    def feed(self, delta: str) -> list[Maths | str]:
        """What has become certain: formulas, and the text around them."""
        text = self._half + delta
        tokens = _TOKEN.findall(text)
        self._half = tokens.pop() if tokens and tokens[-1] in ("\\", "$") else ""
        return [piece for token in tokens for piece in self._take(token)]

    def close(self) -> list[Maths | str]:
        """The rest; a formula that was begun and not closed is text."""
        rest = "".join(self._held) + self._half
        self._half, self._held = "", []
        return [rest] if rest else []

    def _take(self, token: str) -> Iterator[Maths | str]:
        if token in _ENDS:
            if self._held:
                yield "".join(self._held)
            self._held = [token]
        elif not self._held:
            yield token
        else:
            self._held.append(token)
            if token == _ENDS[self._held[0]]:
                yield _formula("".join(self._held))
                self._held = []


def split_maths(text: str) -> list[Maths | str]:
    """The formulas of a text and what stands around them, in order; joined, their sources are the text."""
    parser = MathsParser()
    return [*parser.feed(text), *parser.close()]


def to_dollars(piece: Maths | str) -> str:
    r"""The piece for readers that know maths by its dollars; a dollar before a digit is money and becomes `\$`.

    A formula that has a dollar in it stays as the model wrote it.
    """
    if isinstance(piece, str):
        return _DOLLAR.sub(lambda found: found[1] or "\\$", piece)
    if "$" in _ESCAPE.sub("", piece.latex):
        return piece.source
    # Most readers see no maths where a space follows the first dollar.
    return f"$${piece.latex}$$" if piece.display else f"${piece.latex.strip()}$"


def _formula(source: str) -> Maths | str:
    latex, display = source[2:-2], source[1] == "["
    if not latex.strip() or (not display and _BLANK_LINE.search(latex)):
        return source
    return Maths(latex, display)
