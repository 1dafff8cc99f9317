"""The form in which OmniDocBench compares: text without spaces and signs, formulas without styles, bare HTML tables."""

from __future__ import annotations

import functools
import html
import re
import unicodedata
from typing import Any

from dsocr.evaluation.needs import need

_INLINE = re.compile(r"\$(.*?)\$|\\\((.*?)\\\)")
_ESCAPED = re.compile(r"\\([\\_&%^])")
_NO_WORD = re.compile("[^\\w\u4e00-\u9fff]")
# published quirk: "/t" and "/n" go as well, so that "and/not" becomes "andot", in the truth as in what was read.
_NO_LETTERS = re.compile(r"\\t|\\n|\t|\n|/t|/n")

_DISPLAYED = re.compile(r"\\\[(.+?)(?<!\\)\\\]")
_UNSEEN = re.compile(r"\\tag\{.*?\}|\\hspace\{.*?\}|\\begin\{.*?\}|\\end\{.*?\}|\\arraycolsep.*?\}")
# In the order in which they are taken out: \mathbf before \mathbfcal leaves "cal", as published.
_STYLES = re.findall(
    r"\\\w+",
    r"\mathbf\mathrm\mathnormal\mathit\mathbb\mathcal\mathscr\mathfrak\mathsf\mathtt\textbf\text\boldmath\boldsymbol"
    r"\operatorname\bm\symbfit\mathbfcal\symbf\scriptscriptstyle\notag\setlength\coloneqq\space\thickspace\thinspace"
    r"\medspace\nobreakspace\negmedspace\quad\qquad\enspace\substackw",
)
_UNSEEN_PARTS = {"1.0": (*_STYLES, " "), "1.5": (*_STYLES, " ", "$$", r"\left", r"\right", r"\displaystyle")}
_BLANK = re.compile(r"[\s$]")

_MATHS = re.compile(r"<math\b([^>]*)>.*?</math>", re.IGNORECASE | re.DOTALL)
_ALTERNATIVE = re.compile(r"""\balttext=(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([a-z][a-z0-9]*)\b([^<>]*?)(/?)>", re.IGNORECASE)
_SPAN = re.compile(r"""\b((?:col|row)span)\s*=\s*["']?\s*([0-9]{1,4})""", re.IGNORECASE)
_UNWRAPPED = frozenset({"thead", "tbody", "span", "sup", "sub", "div", "p"})
_COLUMNS = re.compile(r"<colgroup>.*?</colgroup>")
_SPACES = re.compile(r"\s+")
_INSIDE = re.compile(r"<table\b[^>]*>(.*)</table>", re.DOTALL | re.IGNORECASE)


def plain_text(text: str) -> str:
    """Its letters, digits and underscores, in a row; formulas in a line become the signs that they show."""
    return bare(_INLINE.sub(_shown, text))


def bare(text: str) -> str:
    """Its letters, digits and underscores, in a row."""
    return _NO_WORD.sub("", _NO_LETTERS.sub("", text))


def formula(latex: str, version: str = "1.5") -> str:
    r"""LaTeX in small letters without spaces, styles, numbers in brackets, environments and the \[ \] around it.

    published quirk: line ends stay, and in version 1.0 dollar signs as well. The truth has both, what was read has not.
    """
    text = latex if version == "1.0" else latex.strip().strip("$").strip("\n")
    displayed = _DISPLAYED.search(text)
    text = _UNSEEN.sub("", displayed[1].strip() if displayed else text).strip(".")
    for part in _UNSEEN_PARTS[version]:
        text = text.replace(part, "")
    return text.lower()


def tidy_formula(normal: str) -> str:
    """The same without line ends and dollar signs, so that a formula read to the letter is no edit away."""
    return _BLANK.sub("", normal)


def table(markup: str) -> str:
    """HTML with nothing but rows, cells, their spans and contents in one table; empty where there is no table."""
    if "<table" not in markup.lower():
        return ""
    bare_markup = _TAG.sub(_bare_tag, _MATHS.sub(_alternative, markup))
    text = unicodedata.normalize("NFKC", html.unescape(bare_markup).replace("\n", "")).strip()
    inside = _COLUMNS.sub("", "".join(_INSIDE.findall(text)))
    return f'<html><body><table border="1" >{_SPACES.sub(" ", inside)}</table></body></html>'


def shown_text(latex: str) -> str:
    """The signs that a formula shows, where that can be told; else its LaTeX."""
    latex_walker = need("pylatexenc.latexwalker")
    try:
        return str(_reader().latex_to_text(latex))
    except (latex_walker.LatexWalkerError, ValueError, IndexError, AttributeError, TypeError, RecursionError):
        return latex  # the library stumbles over what a model may write; as published, it then stays as it is


def _shown(inline: re.Match[str]) -> str:
    latex = _ESCAPED.sub("", inline[1] if inline[1] is not None else inline[2])
    if not any(sign in latex for sign in "\\^_"):
        return inline[0]
    return shown_text(latex + " " if latex.endswith("\\") else latex).strip()


@functools.cache
def _reader() -> Any:
    return need("pylatexenc.latex2text").LatexNodes2Text()


def _alternative(maths: re.Match[str]) -> str:
    text = _ALTERNATIVE.search(maths[1])
    return f"${(text[1] or text[2] or '') if text else ''}$"


def _bare_tag(tag: re.Match[str]) -> str:
    closes, name = tag[1], tag[2].lower()
    if name in _UNWRAPPED:
        return ""
    spans = "" if closes else "".join(f' {span.lower()}="{number}"' for span, number in _SPAN.findall(tag[3]))
    return f"<{closes}{'td' if name == 'th' else name}{spans}{tag[4]}>"
