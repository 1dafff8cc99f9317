"""The words of a block as they stand on the page, without the marks of Markdown, HTML tables and maths."""

from __future__ import annotations

import html
import re

# Tags that the model writes in its Markdown; any other "<" is a sign that stands on the page.
_LINE_TAG = re.compile(r"</?(?:br|div|h[1-6]|hr|li|ol|pre|table|tbody|tfoot|thead|tr|ul)\b[^<>]*>", re.IGNORECASE)
_CELL_TAG = re.compile(r"</?t[dh]\b[^<>]*>", re.IGNORECASE)
_INLINE = "[abipsu]|caption|center|code|del|em|font|img|ins|mark|small|span|strong|sub|sup"
_ATTRIBUTE = r"""\s+[\w-]+=(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+)"""
_INLINE_TAG = re.compile(rf"</?(?:{_INLINE})(?:{_ATTRIBUTE})*\s*/?>", re.IGNORECASE)

_NO_WORDS = re.compile(r"(?:[-*_=]\s*){3,}|`{3,}.*|~{3,}.*|\|?(?:\s*:?-+:?\s*\|)+(?:\s*:?-+:?)?")
_LINE_START = re.compile(r"(?:(?:#{1,6}|>+|[-*+])(?:\s+|$))+")
_LAST_OF_PLANES = "".join(chr(plane + last) for plane in range(0, 0x110000, 0x10000) for last in (0xFFFE, 0xFFFF))
_FORBIDDEN = re.compile(f"[\0-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_LAST_OF_PLANES}]+")
_BAR = re.compile(r"(?<!\\)\|")

# What is kept of each mark; within a line, and never from the first of two marks to a third.
_MARKS = (
    (re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*\)"), r"\1"),
    (re.compile(r"(?<!\\)(?:\\[()\[\]]|\$\$)"), ""),
    (re.compile(r"(?<![\w\\$])\$(?=\S)([^$]+)(?<=\S)\$(?![\w$])"), r"\1"),
    (re.compile(r"(?<!\\)`([^`]+)`"), r"\1"),
    (re.compile(r"(?<!\\)~~([^~]+)~~"), r"\1"),
    (re.compile(r"(?<!\\)(\*{2,3})(?=[^\s*])([^*]+)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<![\w*\\])\*(?=\S)([^*]+)(?<=\S)\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<![\w\\])(__?)(?=[^\s_])([^_]+)(?<=\S)\1(?!\w)"), r"\2"),
    (re.compile(r"\\([*_#`$|~])"), r"\1"),
)


def plain_lines(markdown: str) -> tuple[str, ...]:
    """Its lines with single spaces, empty ones left out; a table's row is a line, a formula its LaTeX."""
    text = _LINE_TAG.sub("\n", markdown)
    text = _INLINE_TAG.sub("", _CELL_TAG.sub(" ", text))
    lines = (_plain_line(line) for line in text.splitlines())
    return tuple(line for line in lines if line)


def printable(text: str) -> str:
    """The text on one line, without characters that XML forbids or that nobody can see."""
    return " ".join(_FORBIDDEN.sub("", " ".join(text.split())).split())


def _plain_line(line: str) -> str:
    line = line.strip()
    if _NO_WORDS.fullmatch(line):
        return ""
    line = _LINE_START.sub("", line, count=1) if _LINE_START.match(line) else line
    if line.startswith("|"):
        line = _BAR.sub(" ", line)
    for mark, kept in _MARKS:
        line = mark.sub(kept, line)
    return printable(html.unescape(line))
