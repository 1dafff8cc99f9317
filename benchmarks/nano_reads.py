"""How well a checkpoint reads short printed notes: pages drawn here from prose it was never trained on.

    python benchmarks/nano_reads.py [nano|FOLDER] [--dtype auto] [--pages 45] [--text FILE] [--save FOLDER] [--once]

Shares no code with the training room. The prose is benchmarks/prose.txt, or any plain text file.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from rapidfuzz.distance import Levenshtein

import dsocr

FONTS = (
    *("DejaVuSans", "DejaVuSerif", "DejaVuSansMono"),
    *("LiberationSans-Regular", "LiberationSerif-Regular", "LiberationMono-Regular"),
    *("FreeSans", "FreeSerif", "FreeMono"),
)
FONT_FOLDER = Path("/usr/share/fonts")


@dataclass(frozen=True)
class Kind:
    """What pages are like: their sizes, the characters on one, and the size of the print in pixels."""

    sizes: tuple[tuple[int, int], ...]
    characters: tuple[int, int]
    print: tuple[int, int]


NOTE = Kind(((640, 640), (640, 640), (640, 480), (600, 400), (560, 600), (480, 640)), (120, 350), (26, 30))


@dataclass(frozen=True)
class Note:
    """A drawn page, its text, and what it was drawn with."""

    image: Image.Image
    text: str
    font: str


def draw_notes(prose: str, count: int, seed: int) -> list[Note]:
    """Notes of 120 to 350 characters in print of 26 to 30 pixels, black on white."""
    rng = random.Random(seed)
    words, files = prose.split(), font_files()
    return [draw_note(rng, words, FONTS[index % len(FONTS)], files) for index in range(count)]


def font_files() -> dict[str, Path]:
    """The machine's fonts by the names of their files."""
    return {path.stem: path for path in sorted([*FONT_FOLDER.rglob("*.otf"), *FONT_FOLDER.rglob("*.ttf")])}


def draw_note(rng: random.Random, words: list[str], name: str, files: dict[str, Path], kind: Kind = NOTE) -> Note:
    """One page, with as much of its text as there is room for."""
    font = ImageFont.truetype(str(files[name]), rng.randint(*kind.print))
    width, height = rng.choice(kind.sizes)
    margin, leading = rng.randint(16, 40), rng.uniform(1.2, 1.5)
    wanted, start = rng.randint(*kind.characters), rng.randrange(len(words) - max(100, kind.characters[1] // 4))
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    lines, line, used = [], "", 0
    for word in words[start:]:
        longer = f"{line} {word}".strip()
        if draw.textlength(longer, font=font) > width - 2 * margin:
            lines.append(line)
            line = word
        else:
            line = longer
        used += len(word) + 1
        if used > wanted or (len(lines) + 1) * font.size * leading > height - 2 * margin - font.size * leading:
            break
    lines.append(line)
    for index, text in enumerate(lines):
        draw.text((margin, margin + index * font.size * leading), text, font=font, fill="black")
    return Note(image, "\n".join(lines), name)


def error_rate(read: str, truth: str) -> float:
    """Edits over the truth's length, white space counted as single spaces."""
    read, truth = (" ".join(text.split()) for text in (read, truth))
    return Levenshtein.distance(read, truth) / len(truth)


def plain_ascii(text: str) -> str:
    """Running text of printable ASCII."""
    return " ".join(re.sub(r"[^ -~]+", " ", text).split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", nargs="?", default="nano")
    parser.add_argument("--pages", type=int, default=45)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--text", type=Path, default=Path(__file__).with_name("prose.txt"))
    parser.add_argument("--mode", default="gundam")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--once", action="store_true", help="pages that it is unsure of are not read again")
    asked = parser.parse_args()
    notes = draw_notes(plain_ascii(asked.text.read_text(encoding="utf-8")), asked.pages, asked.seed)
    ocr = dsocr.load(asked.checkpoint, dtype=asked.dtype)
    options = dsocr.Options(asked.mode, unsure="keep" if asked.once else "reread")
    rates: list[float] = []
    by_font: dict[str, list[float]] = {}
    began = time.perf_counter()
    for number, note in enumerate(notes):
        (reading,) = ocr.readings(note.image, options)
        read = dsocr.to_markdown(dsocr.Document(note.font, (reading.transcript(),)))
        rates.append(error_rate(read, note.text))
        by_font.setdefault(note.font, []).append(rates[-1])
        if asked.save:
            asked.save.mkdir(parents=True, exist_ok=True)
            note.image.save(asked.save / f"{number:03}.png", optimize=True)
            (asked.save / f"{number:03}.txt").write_text(note.text + "\n", encoding="utf-8")
            (asked.save / f"{number:03}.read.txt").write_text(read + "\n", encoding="utf-8")
    spent = time.perf_counter() - began
    for font, own in by_font.items():
        print(f"{font:26} mean CER {statistics.mean(own):6.1%}  worst {max(own):6.1%}  pages {len(own)}")
    mean, median = statistics.mean(rates), statistics.median(rates)
    print(f"{'all':26} mean CER {mean:6.1%}  median {median:6.1%}  worst {max(rates):6.1%}  pages {len(rates)}")
    print(f"{spent / len(rates):.2f} s a page")


if __name__ == "__main__":
    main()
