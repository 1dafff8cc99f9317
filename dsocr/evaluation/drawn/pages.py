"""Pages drawn from prose, of five kinds of document: every piece of them is known, with its place and its markup."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape

from PIL import Image, ImageDraw, ImageFont

TITLE, TEXT, TABLE, FORMULA, HEADER, PAGE_NUMBER = "title", "text", "table", "formula", "header", "page_number"
SIZE = (640, 640)  # pixels
PRINT = 26  # pixels; what nano was trained to read begins about here
_LEADING = 1.35  # of the print
_FONT = "DejaVuSans.ttf"
_INK, _RULE = "black", "#555555"
_NAMES = ("Apples", "Bricks", "Candles", "Doors", "Engines", "Flour", "Gloves", "Honey", "Ink", "Jars")
_LETTERS = "abcdkmnpqrtuvwxyz"

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the page


@dataclass(frozen=True)
class Run:
    """A stretch of a formula on one height: 1 raised, -1 lowered, 0 on the line."""

    text: str
    height: int = 0


@dataclass(frozen=True)
class Piece:
    """One thing on a page. printed: its characters as they stand there; markup: Markdown, HTML of a table, or LaTeX.

    cells: the rows of a table, the first one its headings.
    """

    kind: str
    box: Box
    printed: str
    markup: str
    cells: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class DrawnPage:
    """A page and all that stands on it, in reading order; kind: what sort of document it is a page of."""

    name: str
    kind: str
    image: Image.Image
    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        """All that is printed, piece by piece."""
        return "\n".join(piece.printed for piece in self.pieces)


def draw_pages(
    prose: str, count: int, seed: int = 0, size: tuple[int, int] = SIZE, print_px: int = PRINT
) -> list[DrawnPage]:
    """That many pages, the kinds in turn; the same seed draws the same pages."""
    rng, words = random.Random(seed), Words(prose)
    kinds = list(KINDS)
    return [draw_page(rng, words, kinds[index % len(kinds)], index, size, print_px) for index in range(count)]


def draw_page(
    rng: random.Random,
    words: Words,
    kind: str,
    number: int = 0,
    size: tuple[int, int] = SIZE,
    print_px: int = PRINT,
) -> DrawnPage:
    """One page of a kind of document, one of KINDS."""
    sheet = Sheet(rng, words, size, print_px)
    KINDS[kind](sheet, number)
    return DrawnPage(f"{kind}_{number:03}", kind, sheet.image, tuple(sheet.pieces))


def draw_text(text: str, size: tuple[int, int], print_px: int) -> Image.Image | None:
    """A page that holds this text in print of that size and nothing else; None where it does not fit."""
    sheet = Sheet(random.Random(0), Words(text), size, print_px)
    lines = sheet.wrapped(text.split(), sheet.room)
    if sheet.top + len(lines) * sheet.step > size[1] - sheet.margin:
        return None
    sheet.write(TEXT, lines, sheet.margin)
    return sheet.image


class Words:
    """Prose as one long ring of words, entered where a sentence begins."""

    def __init__(self, prose: str) -> None:
        """Characters beyond printable ASCII are left out: not every font has them."""
        self._words = re.sub(r"[^ -~]+", " ", prose).split()
        ends = [index + 1 for index, word in enumerate(self._words) if word.endswith((".", "!", "?"))]
        self._starts = [0, *(index for index in ends if index < len(self._words))]

    def __len__(self) -> int:
        return len(self._words)

    def from_sentence(self, rng: random.Random, count: int) -> list[str]:
        """That many words from the beginning of some sentence; after the last word comes the first."""
        start = rng.choice(self._starts)
        return [self._words[(start + index) % len(self._words)] for index in range(count)]


class Sheet:
    """A page while it is drawn, from the top down."""

    def __init__(self, rng: random.Random, words: Words, size: tuple[int, int], print_px: int) -> None:
        """An empty white page."""
        self.rng, self.words, self.print_px = rng, words, print_px
        self.image = Image.new("RGB", size, "white")
        self.pieces: list[Piece] = []
        self.margin = max(8, size[0] // 20)
        self.top = float(self.margin)
        self._pen = ImageDraw.Draw(self.image)

    @property
    def step(self) -> float:
        """From one line to the next, in pixels."""
        return self.print_px * _LEADING

    @property
    def room(self) -> float:
        """How wide a line may be, in pixels."""
        return self.image.width - 2 * self.margin

    def paragraph(self, lines: int, left: float | None = None, room: float | None = None) -> None:
        """That many lines of prose, fewer where the page ends; a gap below."""
        left, room = self.margin if left is None else left, room or self.room
        free = int((self.image.height - self.margin - self.top) / self.step)
        words = self.words.from_sentence(self.rng, 12 * lines + 12)
        wrapped = self.wrapped(words, room)[: max(1, min(lines, free))]
        self.write(TEXT, wrapped, left)
        self.top += 0.5 * self.step

    def title(self) -> None:
        """A few words in larger print."""
        words = self.wrapped(self.words.from_sentence(self.rng, 5), self.room / 1.3)[0]
        self.write(TITLE, [words], self.margin, 1.3, mark="# ")
        self.top += 0.4 * self.step

    def header(self, number: int) -> None:
        """What every page of a book says above its text."""
        self.write(HEADER, [f"Letters and Notes, Part {number % 9 + 1}"], self.margin, 0.9)
        self.top += 0.6 * self.step

    def page_number(self, number: int) -> None:
        """At the foot, in the middle."""
        self.top = self.image.height - self.margin - self.step
        self.write(PAGE_NUMBER, [str(number + 10)], self.image.width / 2)

    def table(self, rows: int) -> None:
        """Goods with a number and a price in each row, in ruled cells under headings."""
        goods = self.rng.sample(_NAMES, rows)
        body = [(name, str(self.rng.randint(2, 99)), f"{self.rng.randint(10, 600) / 10:.2f}") for name in goods]
        cells = (("Item", "Count", "Price"), *body)
        top, height = self.top, self.step * 1.2
        edges = [self.margin + self.room * share for share in (0, 0.42, 0.7, 1)]
        for row, texts in enumerate(cells):
            for left, text in zip(edges, texts, strict=False):
                self._print(text, left + 0.4 * self.print_px, top + row * height + 0.12 * self.step)
        bottom = top + len(cells) * height
        for row in range(len(cells) + 1):
            self._pen.line((edges[0], top + row * height, edges[-1], top + row * height), fill=_RULE, width=2)
        for edge in edges:
            self._pen.line((edge, top, edge, bottom), fill=_RULE, width=2)
        self.top = bottom + 0.6 * self.step
        printed = "\n".join(" ".join(texts) for texts in cells)
        self._keep(TABLE, (edges[0], top, edges[-1], bottom), printed, table_html(cells), cells)

    def formula(self) -> None:
        """An equation with raised and lowered letters, in the middle of its line."""
        a, b, c = self.rng.sample(_LETTERS, 3)
        n = str(self.rng.randint(2, 9))
        runs = self.rng.choice(
            (
                (Run(f"{a}"), Run("2", 1), Run(f" + {b}"), Run("2", 1), Run(f" = {c}"), Run("2", 1)),
                (Run(f"{a}"), Run(n, -1), Run(f" = {b}"), Run("3", 1), Run(f" - {n}{c}")),
                (Run(f"{a} = {n}{b}"), Run(c, -1), Run(" + 1")),
            )
        )
        left = (self.image.width - sum(self._width(run) for run in runs)) / 2
        top, right = self.top + 0.3 * self.step, left
        for run in runs:
            font = open_font(self._run_px(run))
            drop = (0.0, -0.25, 0.55)[run.height] * self.print_px
            self._pen.text((right, top + drop), run.text, font=font, fill=_INK)
            right += self._width(run)
        self.top = top + 1.6 * self.step
        box = (left, top - 0.3 * self.print_px, right, top + 1.4 * self.print_px)
        self._keep(FORMULA, box, "".join(run.text for run in runs), latex(runs))

    def write(self, kind: str, lines: Sequence[str], left: float, scale: float = 1.0, mark: str = "") -> None:
        """Lines of print one below the other."""
        top = self.top
        for line in lines:
            self._print(line, left, self.top, scale)
            self.top += self.step * scale
        right = left + max(open_font(round(self.print_px * scale)).getlength(line) for line in lines)
        self._keep(kind, (left, top, right, self.top), "\n".join(lines), mark + "\n".join(lines))

    def wrapped(self, words: Sequence[str], room: float) -> list[str]:
        """The words in lines no wider than the room; a word that is wider stands alone."""
        font, lines = open_font(self.print_px), list[str]()
        for word in words:
            if lines and font.getlength(f"{lines[-1]} {word}") <= room:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
        return lines

    def _print(self, text: str, left: float, top: float, scale: float = 1.0) -> None:
        self._pen.text((left, top), text, font=open_font(round(self.print_px * scale)), fill=_INK)

    def _run_px(self, run: Run) -> int:
        return round(self.print_px * (0.7 if run.height else 1.1))

    def _width(self, run: Run) -> float:
        return open_font(self._run_px(run)).getlength(run.text)

    def _keep(
        self,
        kind: str,
        box: tuple[float, float, float, float],
        printed: str,
        markup: str,
        cells: tuple[tuple[str, ...], ...] = (),
    ) -> None:
        left, top, right, bottom = (round(edge) for edge in box)
        self.pieces.append(Piece(kind, (left, top, right, bottom), printed, markup, cells))


def table_html(cells: Sequence[Sequence[str]]) -> str:
    """The cells as an HTML table, as the model writes one."""
    rows = ("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in cells)
    return f"<table>{''.join(rows)}</table>"


def latex(runs: Sequence[Run]) -> str:
    """The runs as LaTeX, without delimiters."""
    return "".join(("{}", "^{{{}}}", "_{{{}}}")[run.height].format(run.text) for run in runs)


def _note(sheet: Sheet, number: int) -> None:
    sheet.paragraph(sheet.rng.randint(4, 7))


def _book(sheet: Sheet, number: int) -> None:
    sheet.header(number)
    sheet.paragraph(sheet.rng.randint(4, 5))
    sheet.paragraph(sheet.rng.randint(3, 4))
    sheet.page_number(number)


def _academic(sheet: Sheet, number: int) -> None:
    sheet.title()
    sheet.paragraph(4)
    sheet.formula()
    sheet.paragraph(4)


def _research(sheet: Sheet, number: int) -> None:
    sheet.title()
    sheet.paragraph(3)
    sheet.table(sheet.rng.randint(3, 4))


def _magazine(sheet: Sheet, number: int) -> None:
    sheet.title()
    top, gap = sheet.top, sheet.margin
    room = (sheet.room - gap) / 2
    sheet.paragraph(9, room=room)
    sheet.top = top
    sheet.paragraph(9, sheet.margin + room + gap, room)


# By the words that OmniDocBench has for where a page comes from.
KINDS: dict[str, Callable[[Sheet, int], None]] = {
    "note": _note,
    "book": _book,
    "academic_literature": _academic,
    "research_report": _research,
    "magazine": _magazine,
}


@lru_cache(maxsize=64)
def open_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu Sans, or on a machine without it the font that comes with Pillow."""
    try:
        return ImageFont.truetype(_FONT, size)
    except OSError:
        return ImageFont.load_default(size)
