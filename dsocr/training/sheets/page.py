"""Whole pages drawn from known text: headings, paragraphs, lists and tables down one column, each with its box."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from dsocr.training.drawing import Face, Line, bold_of, centres_of, choose_font, open_face, worn
from dsocr.training.text import TextSource

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels
Places = npt.NDArray[np.float32]
_TITLE, _SUBTITLE, _TEXT, _TABLE = "title", "sub_title", "text", "table"


@dataclass(frozen=True)
class Piece:
    """A stretch of what is to be written, and where each of its characters stands; tags have no places."""

    text: str
    places: Places | None = None


@dataclass(frozen=True)
class PrintedLine:
    """One line of print with its box."""

    piece: Piece
    box: Box


@dataclass(frozen=True)
class QuickFace(Face):
    """A face that asks its font little: it adds up single characters, and stretches their sum to the line's length.

    heights: how far each character reaches above and below the baseline.
    """

    heights: dict[str, tuple[float, float]] = field(default_factory=dict)

    def reach(self, text: str) -> float:
        """About how wide a text is."""
        for letter in set(text) - self.advances.keys():
            self.advances[letter] = self.font.getlength(letter)
        return sum(map(self.advances.__getitem__, text))

    def edges(self, line: str) -> list[float]:
        """As Face has it; within about a pixel."""
        about, wide = self.reach(line), self.font.getlength(line)
        stretch = wide / about if about else 1.0
        return [at * stretch for at in accumulate(map(self.advances.__getitem__, line), initial=0.0)]

    def extent(self, line: str) -> tuple[float, float]:
        """How far a line's ink reaches, as y of its top and its bottom from the baseline, downwards."""
        for letter in set(line) - self.heights.keys():
            _, top, _, bottom = self.font.getbbox(letter, anchor="ls")
            self.heights[letter] = (top, bottom) if letter != " " else (0.0, 0.0)
        found = [self.heights[letter] for letter in set(line)]
        return min(top for top, _ in found), max(bottom for _, bottom in found)


@lru_cache(maxsize=4096)
def quick_face(path: Path, size: int) -> QuickFace:
    """Open a font file at a size in pixels; opened faces are kept."""
    face = open_face(path, size)
    return QuickFace(face.font, face.glyphs, face.middle, {})


def wrap(text: str, face: QuickFace, room: float) -> list[str]:
    """Break text into lines of about `room` pixels at spaces; of a wider word there is as much as the line holds."""
    # A line must not begin like a heading, so a lone number sign is not printed.
    words = [word for word in face.drawable(text).split() if word.strip("#")]
    space, lines, used = face.reach(" "), list[str](), 0.0
    for word in words:
        wide = face.reach(word)
        while wide > room and len(word) > 1:
            word = word[: max(1, int(len(word) * room / wide))]
            wide = face.reach(word)
        if lines and used + space + wide <= room:
            lines[-1] += f" {word}"
            used += space + wide
        else:
            lines.append(word)
            used = wide
    return lines


@dataclass(frozen=True)
class Block:
    """What one box holds. label: the published model's word for it; pieces: what is written of it."""

    label: str
    pieces: tuple[Piece, ...]
    lines: tuple[PrintedLine, ...]

    @property
    def box(self) -> Box:
        """Around all its lines."""
        left, top, right, bottom = zip(*(line.box for line in self.lines), strict=True)
        return min(left), min(top), max(right), max(bottom)


@dataclass(frozen=True)
class Sheet:
    """A drawn page: uint8 [height, width], 0 is black; and its blocks in reading order."""

    image: npt.NDArray[np.uint8]
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Plan:
    """How a page is to be: sides in pixels, the size of its letters, about how many characters, the mixture of text.

    structure: the chance that a block is no paragraph.
    """

    width: int
    height: int
    size: int
    characters: int
    weights: Mapping[str, float] | None = None
    structure: float = 0.25


@dataclass
class _Page:
    """A page on its way: what is laid out so far, and how far down it is."""

    plan: Plan
    rng: random.Random
    left: float
    room: float
    step: float
    down: float
    lines: list[Line] = field(default_factory=list)
    rules: list[Box] = field(default_factory=list)
    blocks: list[tuple[str, list[Line]]] = field(default_factory=list)

    @property
    def limit(self) -> float:
        """No baseline lies below it."""
        return self.plan.height - 0.45 * self.plan.size

    def fits(self, baseline: float) -> bool:
        return not self.blocks or baseline <= self.limit


def draw_sheet(rng: random.Random, source: TextSource, fonts: Mapping[str, Path], plan: Plan) -> Sheet:
    """Draw a page with as many blocks as its characters need and its paper holds."""
    path = choose_font(rng, fonts)
    face, size = quick_face(path, plan.size), plan.size
    left = rng.uniform(0.5, 1.6) * size + 0.12 * plan.width * rng.random() ** 3
    room = (plan.width - left) - rng.uniform(0.5, 1.6) * size - 0.15 * plan.width * rng.random() ** 4
    step = rng.uniform(1.12, 1.6) * size
    page = _Page(plan, rng, left, room, step, rng.uniform(0.4, 1.8) * size + 0.2 * plan.height * rng.random() ** 6)
    page.down += 0.8 * size
    left_over = plan.characters
    bold = bold_of(rng, fonts, path)
    while left_over > 0 and page.fits(page.down):
        before = sum(len(line.text) for line in page.lines)
        _add_block(page, source, face, bold, left_over)
        left_over -= max(1, sum(len(line.text) for line in page.lines) - before)
    return _printed(page)


def _add_block(page: _Page, source: TextSource, face: QuickFace, bold: Path | None, characters: int) -> None:
    rng, plan = page.rng, page.plan
    kind = "paragraph"
    if not page.blocks and bold and rng.random() < plan.structure:
        kind = "title"
    elif rng.random() < plan.structure:
        kind = rng.choices(("subtitle", "bullets", "numbers", "table"), (3 if bold else 0, 3, 2, 2))[0]
    if kind in ("title", "subtitle") and bold:
        scale = rng.uniform(1.25, 1.6) if kind == "title" else rng.uniform(1.0, 1.2)
        title = source.mixture(rng, rng.randint(4, 40), plan.weights)
        _add_lines(page, quick_face(bold, round(plan.size * scale)), title, "# " if kind == "title" else "## ", most=1)
    elif kind == "table":
        _add_table(page, source, face)
    elif kind in ("bullets", "numbers"):
        _add_list(page, source, face, numbered=kind == "numbers")
    else:
        whole = characters < 90 or rng.random() < 0.5
        count = characters if whole else min(characters, rng.randint(60, max(61, min(700, characters))))
        _add_lines(page, face, source.mixture(rng, count, plan.weights))


def _add_lines(page: _Page, face: QuickFace, text: str, mark: str = "", most: int = 10**6) -> None:
    """A paragraph, or a heading with its mark."""
    scale = face.font.size / page.plan.size
    baseline = page.down + (scale - 1) * 0.8 * page.plan.size
    lines: list[Line] = []
    for line in wrap(text, face, page.room)[:most]:
        if lines and baseline > page.limit:
            break
        lines.append(Line(line, face, page.left, baseline, mark, "\n"))
        mark = ""
        baseline += page.step * scale
    label = {"# ": _TITLE, "## ": _SUBTITLE}.get(lines[0].mark if lines else "", _TEXT)
    _close(page, label, lines, baseline)


def _add_list(page: _Page, source: TextSource, face: QuickFace, *, numbered: bool) -> None:
    rng, size = page.rng, page.plan.size
    indent = rng.uniform(0.0, 1.5) * size
    hang = indent + (rng.uniform(1.5, 2.0) if numbered else rng.uniform(0.8, 1.3)) * size
    # The dot has its own place before the text; fonts without it have a hyphen.
    dot = "\u2022" if "\u2022" in face.glyphs and rng.random() < 0.8 else "-"
    baseline, lines = page.down, list[Line]()
    start = rng.choice((1, 1, 1, rng.randint(2, 20)))
    for number in range(start, start + rng.randint(2, 6)):
        words = wrap(source.mixture(rng, rng.randint(8, 90), page.plan.weights), face, page.room - hang)
        if not words or (lines and baseline + (len(words) - 1) * page.step > page.limit):
            break
        head = f"{number}." if numbered else dot
        lines.append(Line(head, face, page.left + indent, baseline, "", " "))
        for text in words:
            lines.append(Line(text, face, page.left + hang, baseline, "", "\n"))
            baseline += page.step
        if rng.random() < 0.1:
            baseline += 0.3 * page.step
    _close(page, _TEXT, lines, baseline)


def _add_table(page: _Page, source: TextSource, face: QuickFace) -> None:
    """Cells of one line each, perhaps ruled."""
    rng, size = page.rng, page.plan.size
    columns, rows = rng.randint(2, 4), rng.randint(2, 6)
    high = page.step * rng.uniform(1.0, 1.3)
    top = page.down - 0.8 * size
    rows = min(rows, int((page.limit - top) / high))
    wide = page.room / columns
    if rows < 2 or wide < 3.5 * size:
        return _add_lines(page, face, source.mixture(rng, 80, page.plan.weights))
    wide *= rng.uniform(max(0.6, 3.5 * size / wide), 1.0)
    lines: list[Line] = []
    for row in range(rows):
        for column in range(columns):
            most = max(2, int(wide / (0.55 * size)))
            text = source.mixture(rng, rng.randint(1, most), {"words": 0.4, "numbers": 0.5, "random": 0.1})
            cell = (wrap(text, face, wide - 0.7 * size) or [""])[0]
            ends = ("<table>" if not lines else "") + ("<tr>" if not column else "") + "<td>"
            after = "</td>" + ("</tr>" if column == columns - 1 else "")
            after += "</table>\n" if (row, column) == (rows - 1, columns - 1) else ""
            where = page.left + column * wide + 0.35 * size
            lines.append(Line(cell, face, where, top + (row + 0.5) * high + 0.33 * size, ends, after))
    if rng.random() < 0.7:
        page.rules += _rules(rng, page.left, top, wide, high, columns, rows)
    return _close(page, _TABLE, lines, top + rows * high + 0.9 * size)


def _rules(rng: random.Random, left: float, top: float, wide: float, high: float, columns: int, rows: int) -> list[Box]:
    across = [(left, top + row * high, left + columns * wide, top + row * high + 1) for row in range(rows + 1)]
    if rng.random() < 0.3:
        return [across[0], across[1], across[-1]]
    down = [(left + at * wide, top, left + at * wide + 1, top + rows * high) for at in range(columns + 1)]
    return across + down


def _close(page: _Page, label: str, lines: list[Line], baseline: float) -> None:
    """The block ends here; below it is a gap."""
    if lines:
        lines[-1] = replace(lines[-1], after=lines[-1].after + "\n")
        page.lines += lines
        page.blocks.append((label, lines))
    page.down = baseline + page.rng.uniform(0.35, 1.0) * page.step


def _printed(page: _Page) -> Sheet:
    plan, rng = page.plan, page.rng
    ink, paper = rng.choice((0, rng.randint(0, 80))), rng.choice((255, rng.randint(215, 255)))
    if rng.random() < 0.02:
        ink, paper = 255 - ink, 255 - paper
    image = Image.new("L", (plan.width, plan.height), paper)
    pen = ImageDraw.Draw(image)
    blocks = []
    for number, (label, lines) in enumerate(page.blocks):
        if number == len(page.blocks) - 1:
            lines[-1] = replace(lines[-1], after=lines[-1].after.rstrip("\n"))
        pieces, printed = list[Piece](), list[PrintedLine]()
        for line in lines:
            pen.text((line.left, line.baseline), line.text, font=line.face.font, fill=ink, anchor="ls")
            own, ink_alone = _pieces(line, plan)
            pieces += own
            if line.text:
                printed.append(PrintedLine(ink_alone, _ink_box(line)))
        blocks.append(Block(label, tuple(pieces), tuple(printed)))
    for rule in page.rules:
        pen.rectangle(rule, fill=ink)
    return Sheet(worn(rng, image, 0.08), tuple(block for block in blocks if block.lines))


def _ink_box(line: Line) -> Box:
    face = line.face
    assert isinstance(face, QuickFace)
    top, bottom = face.extent(line.text)
    return line.left, line.baseline + top, line.left + face.reach(line.text), line.baseline + bottom


def _pieces(line: Line, plan: Plan) -> tuple[list[Piece], Piece]:
    """What is written of a line, and its print alone; the tags of its cell have no places."""
    tags = "<td>" in line.mark
    rest = line.after[len(line.after.rstrip("\n")) :] if tags else line.after
    mark = "" if tags else line.mark
    places = centres_of(replace(line, mark=mark, after=rest), plan.width, plan.height)
    ends = len(mark) + len(line.text)
    bare = Piece(line.text, places[len(mark) : ends])
    if tags:
        found = [Piece(line.mark), bare, Piece(line.after.rstrip("\n")), Piece(rest, places[ends:])]
        return [piece for piece in found if piece.text], bare
    # The dot of a list is written as a hyphen.
    text = "-" if line.text == "\u2022" else line.text
    return [Piece(mark + text + rest, places)], bare


def write_down(sheet: Sheet, prompt: str) -> Sequence[Piece]:
    """What is to be written under a prompt: document (blocks in their boxes), ocr (lines), anything else (text)."""
    high, wide = sheet.image.shape
    written: list[Piece] = []
    for block in sheet.blocks:
        if prompt == "ocr":
            for line in block.lines:
                written += [Piece("<|ref|>"), line.piece, Piece("<|/ref|>"), *_told(line.box, wide, high)]
            continue
        if prompt == "document":
            written += [Piece(f"<|ref|>{block.label}<|/ref|>"), *_told(block.box, wide, high)]
        written += block.pieces
    return written


def _told(box: Box, wide: int, high: int) -> list[Piece]:
    """A box in thousandths, its numbers at its corners."""
    x1, y1, x2, y2 = (round(min(max(at, 0), side) / side * 999) for at, side in zip(box, (wide, high) * 2, strict=True))
    first, last = f"{x1}, {y1}", f"{x2}, {y2}"
    corner = [np.clip(np.array(at, np.float32), 0, (wide - 1, high - 1)) for at in (box[:2], box[2:])]
    return [
        Piece("<|det|>[["),
        Piece(first, np.tile(corner[0], (len(first), 1)).astype(np.float32)),
        Piece(", "),
        Piece(last, np.tile(corner[1], (len(last), 1)).astype(np.float32)),
        Piece("]]<|/det|>"),
        Piece("\n"),
    ]
