"""What a checkpoint makes of a page's layout: titles, headings, paragraphs, lists, tables, and the box of each.

    python benchmarks/nano_layout.py [nano|FOLDER] [--pages 18] [--mode base] [--save FOLDER]

Pages are drawn here, from prose that nano was never trained on; shares no code with the training room. Each block of
the truth goes with the written one whose box covers it best. IoU: the part that two boxes have in common of what they
cover together.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nano_reads import FONTS, error_rate, font_files, plain_ascii
from PIL import Image, ImageDraw, ImageFont

import dsocr
from dsocr.evaluation.omnidocbench.teds import teds
from dsocr.reading import Reading

BOLD = {
    "DejaVuSans": "DejaVuSans-Bold",
    "DejaVuSerif": "DejaVuSerif-Bold",
    "DejaVuSansMono": "DejaVuSansMono-Bold",
    "LiberationSans-Regular": "LiberationSans-Bold",
    "LiberationSerif-Regular": "LiberationSerif-Bold",
    "LiberationMono-Regular": "LiberationMono-Bold",
    "FreeSans": "FreeSansBold",
    "FreeSerif": "FreeSerifBold",
    "FreeMono": "FreeMonoBold",
}
SIZES = {"small": (640, 640), "base": (900, 900), "gundam": (900, 900)}
Pixels = tuple[float, float, float, float]


@dataclass(frozen=True)
class Truth:
    """A block as it was printed: its kind, the model's label for it, its text, and its box in pixels."""

    kind: str
    label: str
    text: str
    box: Pixels


class Sheet:
    """A page that is filled from the top."""

    def __init__(self, rng: random.Random, size: tuple[int, int], face: str, words: Sequence[str]) -> None:
        files = font_files()
        self.rng, self.words, self.size = rng, words, rng.randint(22, 28)
        self.plain = ImageFont.truetype(str(files[face]), self.size)
        self.bold = [ImageFont.truetype(str(files[BOLD[face]]), round(self.size * scale)) for scale in (1.4, 1.1)]
        self.image = Image.new("RGB", size, "white")
        self.pen = ImageDraw.Draw(self.image)
        self.left, self.down, self.right = rng.randint(24, 48), rng.randint(24, 48), size[0] - rng.randint(24, 48)
        self.at = rng.randrange(len(words) - 400)
        self.blocks: list[Truth] = []

    def take(self, count: int) -> str:
        """The next words of the prose."""
        self.at += count
        return " ".join(self.words[self.at - count : self.at])

    def heading(self, level: int) -> None:
        """A title (1) or a heading below it (2)."""
        kind, label = (("title", "title"), ("heading", "sub_title"))[level - 1]
        self._print(kind, label, [self.take(self.rng.randint(2, 3))], self.bold[level - 1], "#" * level + " ")

    def paragraph(self) -> None:
        """Some lines."""
        self._print("paragraph", "text", self._lines(self.take(self.rng.randint(14, 26))), self.plain)

    def points(self, numbered: bool) -> None:
        """A list of short items."""
        items = [self.take(self.rng.randint(2, 4)) for _ in range(3)]
        marks = [f"{number}." for number in range(1, 4)] if numbered else ["-"] * 3
        lines = [f"{mark} {item}" for mark, item in zip(marks, items, strict=True)]
        self._print("numbers" if numbered else "bullets", "text", lines, self.plain, dots=not numbered)

    def table(self) -> None:
        """A ruled one of three rows and three columns."""
        high, wide = 1.7 * self.size, min(190.0, (self.right - self.left) / 3)
        most = wide - 0.6 * self.size
        cells = [[self._short(most) for _ in range(3)] for _ in range(3)]
        top, left = self.down, self.left
        for row, column in ((row, column) for row in range(3) for column in range(3)):
            where = left + column * wide + 0.3 * self.size, top + row * high + 0.3 * self.size
            self.pen.text(where, cells[row][column], font=self.plain, fill="black")
        for step in range(4):
            self.pen.line((left, top + step * high, left + 3 * wide, top + step * high), fill="black")
            self.pen.line((left + step * wide, top, left + step * wide, top + 3 * high), fill="black")
        rows = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in cells)
        self.blocks.append(
            Truth("table", "table", f"<table>{rows}</table>", (left, top, left + 3 * wide, top + 3 * high))
        )
        self.down = top + 3 * high + self.size

    def _short(self, most: float) -> str:
        if self.rng.random() < 0.5:
            return f"{self.rng.uniform(1, 999):.1f}"
        while True:
            word = self.words[self.rng.randrange(len(self.words))].strip(",.;:\"'()")
            if word and self.pen.textlength(word, font=self.plain) <= most:
                return word

    def _lines(self, text: str) -> list[str]:
        lines, line = [], ""
        for word in text.split():
            longer = f"{line} {word}".strip()
            if self.pen.textlength(longer, font=self.plain) > self.right - self.left:
                lines.append(line)
                line = word
            else:
                line = longer
        return [*lines, line]

    def _print(self, kind: str, label: str, lines: Sequence[str], font, mark: str = "", dots: bool = False) -> None:
        boxes = []
        for line in lines:
            shown = line.replace("- ", "\u2022 ", 1) if dots else line
            self.pen.text((self.left, self.down), shown, font=font, fill="black")
            boxes.append(self.pen.textbbox((self.left, self.down), shown, font=font))
            self.down += 1.35 * font.size
        left, top, right, bottom = zip(*boxes, strict=True)
        self.blocks.append(Truth(kind, label, mark + "\n".join(lines), (min(left), min(top), max(right), max(bottom))))
        self.down += 0.6 * self.size


def draw_page(number: int, mode: str, words: Sequence[str]) -> Sheet:
    """A title, and as many other blocks in turn as there is room for."""
    rng = random.Random(f"layout {number} {mode}")
    sheet = Sheet(rng, SIZES[mode], FONTS[number % len(FONTS)], words)
    sheet.heading(1)
    kinds = [lambda: sheet.heading(2), sheet.paragraph, sheet.table, lambda: sheet.points(numbered=number % 2 == 0)]
    rng.shuffle(kinds)
    for kind in kinds:
        if sheet.down < SIZES[mode][1] - 6.5 * sheet.size:
            kind()
    return sheet


def overlap(first: Pixels, second: Pixels) -> float:
    """Intersection over union, 0 to 1."""
    across = min(first[2], second[2]) - max(first[0], second[0])
    down = min(first[3], second[3]) - max(first[1], second[1])
    common = max(0.0, across) * max(0.0, down)
    both = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)) - common
    return common / both if both else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", default="nano")
    parser.add_argument("--pages", type=int, default=18)
    parser.add_argument("--mode", default="base", choices=sorted(SIZES))
    parser.add_argument("--save", type=Path, help="keep the pages with the boxes that were written")
    asked = parser.parse_args()
    words = plain_ascii(Path(__file__).with_name("prose.txt").read_text(encoding="utf-8")).split()
    sheets = [draw_page(number, asked.mode, words) for number in range(asked.pages)]
    ocr = dsocr.load(asked.checkpoint)
    found: dict[str, list[tuple[float, bool, float]]] = {}
    steps = ocr.readings_of([sheet.image for sheet in sheets], dsocr.Options(asked.mode))
    pages = [step.transcript() for step in steps if isinstance(step, Reading)]
    for number, (sheet, page) in enumerate(zip(sheets, pages, strict=True)):
        written = [(block, box.to_pixels(page.width, page.height)) for block in page.blocks for box in block.boxes[:1]]
        for truth in sheet.blocks:
            near = [each for each in written if overlap(truth.box, each[1])]
            best, box = max(near, key=lambda each: overlap(truth.box, each[1]), default=(None, (0, 0, 0, 0)))
            text = best.text.strip() if best else ""
            right = teds(truth.text, text) if truth.kind == "table" else 1 - min(1.0, error_rate(text, truth.text))
            kind = best is not None and best.label == truth.label
            found.setdefault(truth.kind, []).append((overlap(truth.box, box), kind, right))
        if asked.save:
            asked.save.mkdir(parents=True, exist_ok=True)
            dsocr.to_picture(page).save(asked.save / f"{number:03}.png")
            (asked.save / f"{number:03}.txt").write_text(page.raw + "\n", encoding="utf-8")
    print("| block | printed | mean IoU | of its kind | characters right (tables: TEDS) |")
    print("|---|---|---|---|---|")
    for kind, all_of_it in [*found.items(), ("all", [each for some in found.values() for each in some])]:
        places, labels, texts = zip(*all_of_it, strict=True)
        figures = f"{statistics.mean(places):.2f} | {statistics.mean(labels):.0%} | {statistics.mean(texts):.1%}"
        print(f"| {kind} | {len(places)} | {figures} |")


if __name__ == "__main__":
    main()
