"""How much a short fine-tune teaches a checkpoint of print that it cannot read: character errors before and after.

    python benchmarks/train_font.py FOLDER [--font NAME] [--known 0] [--steps 100] [--lora 0] [--pages 12]

Pairs for training are drawn from the documentation that Python brings along, the pages to measure with from
benchmarks/prose.txt, in FOLDER/pairs and FOLDER/held_out; `dsocr train` does the rest. Print that was known before
is measured too, for what is forgotten.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
from pathlib import Path

from nano_reads import FONTS, draw_note, error_rate, font_files, plain_ascii

import dsocr
from dsocr.training.text import collect_text

KNOWN = ("DejaVuSans", "DejaVuSansMono", "LiberationSans-Regular", "FreeMono")


def draw_pairs(folder: Path, words: list[str], fonts: list[str], count: int, seed: int) -> None:
    """Notes as nano_reads draws them, as NAME.png and NAME.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    for number in range(count):
        note = draw_note(rng, words, fonts[number % len(fonts)], font_files())
        note.image.save(folder / f"{number:03}.png")
        (folder / f"{number:03}.txt").write_text(note.text + "\n", encoding="utf-8")


def measured(model: str, folder: Path) -> float:
    """The mean character error rate of the pairs in a folder."""
    ocr = dsocr.load(model, "cpu")
    pages = sorted(folder.glob("*.png"))
    truths = [page.with_suffix(".txt").read_text(encoding="utf-8") for page in pages]
    once = dsocr.Options(unsure="keep")
    read = [reading.transcript() for page in pages for reading in ocr.readings(page, once)]
    texts = [dsocr.to_markdown(dsocr.Document("page", (page,))) for page in read]
    rates = [error_rate(text, truth) for text, truth in zip(texts, truths, strict=True)]
    return sum(rates) / len(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--font", default="Z003-MediumItalic")
    parser.add_argument(
        "--known", type=int, default=0, help="how many known fonts are drawn beside, as often as the new one each"
    )
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--lora", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=6e-4)
    parser.add_argument("--count", type=int, default=120, help="pages to learn from")
    parser.add_argument("--pages", type=int, default=12, help="pages to measure with, of each kind")
    parser.add_argument("--only-before", action="store_true")
    asked = parser.parse_args()
    assert asked.font not in FONTS
    prose = plain_ascii((Path(__file__).parent / "prose.txt").read_text(encoding="utf-8")).split()
    new, known = asked.folder / "held_out", asked.folder / "known"
    draw_pairs(new, prose, [asked.font], asked.pages, 1)
    draw_pairs(known, prose, list(KNOWN), asked.pages, 2)
    print(f"before: {asked.font} {measured('nano', new):.1%}, known print {measured('nano', known):.1%}", flush=True)
    if asked.only_before:
        return
    own = plain_ascii(" ".join(collect_text().sentences)).split()
    draw_pairs(asked.folder / "pairs", own, [asked.font, *KNOWN[: asked.known]], asked.count, 3)
    tuned = asked.folder / "tuned"
    command = f"""-m dsocr train -o {tuned} --pairs {asked.folder / "pairs"} --held-out {new} --start nano --device cpu
        --steps {asked.steps} --lora {asked.lora} --learning-rate {asked.learning_rate} --batch 1"""
    subprocess.run([sys.executable, *command.split()], check=True)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"trained for {spent.ru_utime + spent.ru_stime:.0f} s of processor time")
    print(f"after:  {asked.font} {measured(str(tuned), new):.1%}, known print {measured(str(tuned), known):.1%}")


if __name__ == "__main__":
    main()
