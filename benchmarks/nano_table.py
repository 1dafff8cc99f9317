"""What a checkpoint makes of pages of every kind that nano is meant for, with Tesseract 5 on the same pages beside it.

    python benchmarks/nano_table.py [nano|FOLDER] [--pages 18] [--loops 0]

Notes, letters and A4 pages of prose that nano was never trained on, and notes of random strings; in faces that it was
trained on, and in others like them. --loops N reads N more notes, and says how they ended. Greedy, default settings; an
error rate counts as 100 % at most.
"""

from __future__ import annotations

import argparse
import random
import statistics
import string
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from nano_reads import FONTS, NOTE, Kind, Note, draw_note, error_rate, font_files, plain_ascii
from PIL import Image

import dsocr
from dsocr.reading import Reading

OTHERS = (
    *("NotoSans-Regular", "OpenSans-Regular", "NimbusSans-Regular", "NotoSerif-Regular", "Caladea-Regular"),
    *("NimbusRoman-Regular", "LinLibertine_R", "Hack-Regular", "NimbusMonoPS-Regular"),
)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    kind: Kind
    mode: str
    random: bool = False


SMALL = replace(NOTE, characters=(100, 350), print=(18, 32))
ROWS = (
    Row("notes", SMALL, "small"),
    Row("notes", SMALL, "gundam"),
    Row("notes, 26 to 30 px", NOTE, "gundam"),
    Row("notes of random strings, 26 to 30 px", NOTE, "gundam", random=True),
    Row("letters", Kind(((1024, 1024),), (950, 1050), (18, 32)), "base"),
    Row("A4 at 150 dpi", Kind(((1240, 1754),), (2100, 2300), (18, 32)), "gundam"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", default="nano")
    parser.add_argument("--pages", type=int, default=18)
    parser.add_argument("--loops", type=int, default=0)
    asked = parser.parse_args()
    prose = plain_ascii(Path(__file__).with_name("prose.txt").read_text(encoding="utf-8"))
    ocr = dsocr.load(asked.checkpoint)
    print("| pages | mode | characters | CER, trained faces | other faces | s a page | Tesseract, the same | s |")
    print("|---|---|---|---|---|---|---|---|")
    for row in ROWS:
        print(line(ocr, row, prose, asked.pages), flush=True)
    if asked.loops:
        print(endings(ocr, prose, asked.loops))


def line(ocr: dsocr.OCR, row: Row, prose: str, count: int) -> str:
    """A row measured: each cell is the mean over its pages."""
    cells, length, seconds, others, slow = [], [], [], [], []
    for faces in (FONTS, OTHERS):
        own, theirs = [], []
        for note in drawn(row, faces, prose, count):
            began = time.perf_counter()
            read = dsocr.to_markdown(ocr.read(note.image, row.mode))
            between = time.perf_counter()
            beside = tesseract(note.image)
            slow.append(time.perf_counter() - between)
            seconds.append(between - began)
            own.append(min(1.0, error_rate(read, note.text)))
            theirs.append(min(1.0, error_rate(beside, note.text)))
            length.append(len(note.text))
        cells.append(statistics.mean(own))
        others.append(statistics.mean(theirs))
    return (
        f"| {row.name} | {row.mode} | {statistics.mean(length):.0f} | {cells[0]:.1%} | {cells[1]:.1%} | "
        f"{statistics.mean(seconds):.2f} | {others[0]:.1%}, {others[1]:.1%} | {statistics.mean(slow):.2f} |"
    )


def drawn(row: Row, faces: tuple[str, ...], prose: str, count: int) -> Iterator[Note]:
    """Its pages, the faces in turn."""
    rng, files = random.Random(f"{row.name} {faces[0]}"), font_files()
    words = [_noise(rng) for _ in range(3000)] if row.random else prose.split()
    for number in range(count):
        yield draw_note(rng, words, faces[number % len(faces)], files, row.kind)


def _noise(rng: random.Random) -> str:
    return "".join(rng.choices(string.ascii_letters + string.digits, k=rng.randint(1, 9)))


def tesseract(image: Image.Image) -> str:
    """What Tesseract reads, a process a page."""
    file = BytesIO()
    image.save(file, "png")
    command = ["tesseract", "-", "-", "--psm", "6"]
    return subprocess.run(command, input=file.getvalue(), capture_output=True, check=True).stdout.decode()


def endings(ocr: dsocr.OCR, prose: str, count: int) -> str:
    """How so many more notes ended."""
    notes = drawn(Row("loops", SMALL, "gundam"), FONTS, prose, count)
    options = dsocr.Options(loops="stop")
    ended: Counter[str] = Counter()
    for step in ocr.readings_of((note.image for note in notes), options):
        if isinstance(step, Reading):
            ended[step.transcript().status] += 1
    return f"{count} more notes: " + ", ".join(f"{number} {status}" for status, number in ended.most_common())


if __name__ == "__main__":
    main()
