"""Real loops: pages that nano cannot read, how often it repeats itself on them, and whether that is noticed.

`python benchmarks/nano_loops.py [--each 10] [--modes gundam] [--kinds NAME ...] [--seed 1] [--show]`: so many pages of
each kind, written in each mode without the rule against repeated n-grams until nano ends them or 4,000 tokens are
written; what is written is then read along with. nano has learned one mode alone: in the others it is as lost as a
reader can be.
--show prints the end of each page that never ended and was not noticed, and of each that ended and was: look at them.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

sys.path.insert(0, str(Path(__file__).parents[1]))

import dsocr
from benchmarks.loops import watch
from benchmarks.nano_reads import FONT_FOLDER, FONTS, plain_ascii
from dsocr.engine.loops import BYTES_PER_TOKEN, Loop
from dsocr.engine.request import Sampling
from dsocr.ocr import Options

MOST = 4000  # tokens of a page
SIDE = 640


@dataclass(frozen=True)
class Wrote:
    """What nano wrote about a page: whether it ended by itself, what was noticed, and after how many characters."""

    kind: str
    text: str
    ended: bool
    loop: Loop | None
    read: int

    @property
    def surplus(self) -> float:
        """Tokens written after the good part."""
        assert self.loop
        return len(self.text[self.loop.start : self.read].encode()) / BYTES_PER_TOKEN


def prose(rng: random.Random, size: int, lines: int, blur: float = 0.0) -> Image.Image:
    """Lines of English, cut where they leave the page."""
    words = plain_ascii(Path(__file__).with_name("prose.txt").read_text(encoding="utf-8")).split()
    page = Image.new("L", (SIDE, SIDE), "white")
    draw, font = ImageDraw.Draw(page), _font(rng, size)
    for number in range(lines):
        start = rng.randrange(len(words) - 40)
        draw.text((12, 8 + number * size * 1.25), " ".join(words[start : start + 40]), font=font, fill="black")
    return page.filter(ImageFilter.GaussianBlur(blur)) if blur else page


def rules(rng: random.Random) -> Image.Image:
    """An empty form: lines across, lines down."""
    page = Image.new("L", (SIDE, SIDE), "white")
    draw, pitch = ImageDraw.Draw(page), rng.randint(24, 60)
    for place in range(20, SIDE, pitch):
        draw.line((20, place, SIDE - 20, place), fill="black", width=2)
        if pitch % 2:
            draw.line((place, 20, place, SIDE - 20), fill="black", width=2)
    return page


def leaders(rng: random.Random) -> Image.Image:
    """Dotted or dashed lines."""
    page = Image.new("L", (SIDE, SIDE), "white")
    draw, font, mark = ImageDraw.Draw(page), _font(rng, 28), rng.choice(".-_=*")
    for place in range(10, SIDE - 40, rng.randint(36, 60)):
        draw.text((12, place), mark * 60, font=font, fill="black")
    return page


def noise(rng: random.Random) -> Image.Image:
    """Grey specks of some size."""
    grain = rng.choice((4, 8, 16))
    specks = bytes(rng.randrange(256) for _ in range((SIDE // grain) ** 2))
    return Image.frombytes("L", (SIDE // grain, SIDE // grain), specks).resize((SIDE, SIDE))


def blobs(rng: random.Random) -> Image.Image:
    """Large dark spots, as in a photograph."""
    page = Image.new("L", (SIDE, SIDE), rng.randrange(120, 256))
    draw = ImageDraw.Draw(page)
    for _ in range(rng.randint(4, 12)):
        x, y, size = rng.randrange(SIDE), rng.randrange(SIDE), rng.randint(20, 200)
        draw.ellipse((x, y, x + size, y + size), fill=rng.randrange(256))
    return page.filter(ImageFilter.GaussianBlur(rng.uniform(0, 12)))


def figures(rng: random.Random) -> Image.Image:
    """A table of numbers without rules."""
    page = Image.new("L", (SIDE, SIDE), "white")
    draw, font = ImageDraw.Draw(page), _font(rng, 24)
    for row in range(18):
        for column in range(5):
            draw.text((12 + column * 125, 10 + row * 34), f"{rng.randrange(10000) / 100:.2f}", font=font, fill="black")
    return page


def repeated(rng: random.Random) -> Image.Image:
    """One line, printed again and again: what is read is a repetition, and right."""
    page = Image.new("L", (SIDE, SIDE), "white")
    draw, font = ImageDraw.Draw(page), _font(rng, 28)
    words = rng.choice(("Please do not feed the ducks.", "no no no no no", "Name: ____________", "0.00  0.00  0.00"))
    for row in range(15):
        draw.text((12, 8 + row * 41), words, font=font, fill="black")
    return page


def _font(rng: random.Random, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(next(FONT_FOLDER.rglob(f"{rng.choice(FONTS)}.ttf"))), size)


KINDS: dict[str, Callable[[random.Random], Image.Image]] = {
    "print of 9 pixels": lambda rng: prose(rng, 9, 50),
    "print of 14 pixels": lambda rng: prose(rng, 14, 34),
    "print of 90 pixels": lambda rng: prose(rng, 90, 5),
    "upside down": lambda rng: prose(rng, 28, 17).rotate(180),
    "blurred": lambda rng: prose(rng, 28, 17, rng.uniform(2.5, 5)),
    "rules": rules,
    "leaders": leaders,
    "noise": noise,
    "blobs": blobs,
    "numbers in columns": figures,
    "one line again and again": repeated,
}


def written(reader: dsocr.OCR, kinds: list[str], each: int, seed: int, mode: str) -> Iterator[Wrote]:
    """What nano writes about so many pages of each kind."""
    sampling = Sampling(max_tokens=MOST, ngram_rule="none")
    options = Options(mode, "document", sampling=sampling, loops="keep", skip_blank=False)
    rng = random.Random(seed)
    names = [kind for kind in kinds for _ in range(each)]
    pages = [KINDS[kind](rng).convert("RGB") for kind in names]
    readings = (reading for reading in reader.readings_of(pages, options) if isinstance(reading, dsocr.ocr.Reading))
    for kind, reading in zip(names, readings, strict=True):
        page = reading.transcript(keep_image=False)
        yield Wrote(kind, page.raw, page.status == "ok", *watch(page.raw))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=10)
    parser.add_argument("--modes", default="gundam")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", action="store_true")
    asked = parser.parse_args()
    reader, every = dsocr.load("nano", batch=16), list[Wrote]()
    for mode in asked.modes.split(","):
        every += written(reader, asked.kinds, asked.each, asked.seed, mode)
    print("| pages | never ended | noticed | surplus, median | worst | ended by nano | noticed all the same |")
    print("|---|---|---|---|---|---|---|")
    for kind in [*asked.kinds, "all"]:
        own = [page for page in every if kind in (page.kind, "all")]
        endless, ended = [page for page in own if not page.ended], [page for page in own if page.ended]
        surplus = [page.surplus for page in endless if page.loop] or [0.0]
        figures = (
            f"{sum(page.loop is not None for page in endless)} | {statistics.median(surplus):.0f} | {max(surplus):.0f}"
        )
        print(
            f"| {kind} | {len(endless)} | {figures} | {len(ended)} | {sum(page.loop is not None for page in ended)} |"
        )
    for page in every if asked.show else ():
        if page.ended == (page.loop is not None):
            print(f"\n{page.kind}, {'ended' if page.ended else 'never ended'}: {page.loop.reason if page.loop else ''}")
            print(page.text[-600:])


if __name__ == "__main__":
    main()
