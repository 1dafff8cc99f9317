"""How reading fares as more and more text stands on a page of one size: the paper's curve, on pages drawn here."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from dsocr.document import to_markdown
from dsocr.document.blocks import FAILED, OK
from dsocr.errors import InputError
from dsocr.evaluation import edit
from dsocr.evaluation.drawn.pages import SIZE, Words, draw_text
from dsocr.evaluation.predict import Reader
from dsocr.evaluation.report import breakdown
from dsocr.evaluation.report.breakdown import Figure, PageFigures
from dsocr.evaluation.report.plots import Series
from dsocr.evaluation.report.table import Column, Table
from dsocr.evaluation.report.writer import Fact, Report, Section
from dsocr.evaluation.trial import TokenCounter
from dsocr.evaluation.words import distinct_overlap, split_both
from dsocr.ocr import Options
from dsocr.reading import Reading

LENGTHS = (50, 100, 200, 300, 450, 600, 800, 1000, 1200)  # text tokens
MODES = ("tiny", "small", "base", "gundam")
LARGEST_PRINT, SMALLEST_PRINT = 26, 6  # pixels
FIGURES = (Figure("precision"), Figure("recall"), Figure("1 - edit distance"))
_PROMPT = "free"  # the paper: without layout


@dataclass(frozen=True)
class Sheet:
    """A drawn page, what stands on it in one line, how long that is, and the height of its print in pixels."""

    image: Image.Image
    text: str
    asked_tokens: int
    tokens: int
    print_px: int


def draw_sheets(
    prose: str,
    counter: TokenCounter,
    lengths: Sequence[int] = LENGTHS,
    each: int = 3,
    size: tuple[int, int] = SIZE,
    seed: int = 0,
) -> tuple[Sheet, ...]:
    """`each` pages for each number of text tokens, in the largest print that fits, up to 26 pixels.

    InputError where the prose is too short, or no print that could be read makes the text fit.
    """
    rng, words = random.Random(seed), Words(prose)
    texts = [(length, _text(words, rng, counter, length)) for length in lengths for _ in range(each)]
    return tuple(_sheet(text, length, counter.count(text), size) for length, text in texts)


def read_sheets(
    reader: Reader, sheets: Sequence[Sheet], options: Sequence[Options], note: Callable[[str], None]
) -> tuple[PageFigures, ...]:
    """Each page read with each of these options and compared with its text, differences of white space aside."""
    return tuple(page for each in options for page in _read(reader, sheets, each, note))


def report(
    pages: Sequence[PageFigures],
    sheets: Sequence[Sheet],
    counter: TokenCounter,
    facts: Sequence[Fact],
    paper: Sequence[Table] = (),
    curves: Sequence[Series] = (),
) -> Report:
    """The table and the curves of what was read, beside the published ones."""
    width, height = sheets[0].image.size
    prints = [sheet.print_px for sheet in sheets]
    spread = " to ".join(str(px) for px in sorted({min(prints), max(prints)}))
    drawn = Fact("pages", f"{len(sheets)}, of {width}×{height} pixels, print of {spread} pixels")
    columns = Column("asked tokens"), Column("mode")
    note = (
        "Precision and recall: of distinct words. 1 - edit distance: of characters, white space as single spaces, over "
        f"the longer text. {breakdown.RATIO.format(tokenizer=counter.name)} {breakdown.INTERVALS}"
    )
    ordered = sorted(pages, key=lambda page: int(page.kind))
    table = breakdown.grouped("Read here", columns, ordered, FIGURES, lambda page: (page.kind, page.mode), note)
    plots = (
        breakdown.plot("Precision (distinct words)", pages, 0, FIGURES[0].name, curves),
        breakdown.plot("Recall (distinct words)", pages, 1, FIGURES[1].name, curves),
        breakdown.plot("What edit distance says", pages, 2, FIGURES[2].name),
    )
    sections = (
        Section("Compression", (table, breakdown.by_mode(pages, FIGURES, "")), plots),
        Section("Published", tuple(paper)),
    )
    return Report("Compression", (*facts, drawn), sections)


def _text(words: Words, rng: random.Random, counter: TokenCounter, tokens: int) -> str:
    """Prose from the beginning of a sentence, of as many words as make up these tokens, or one word less."""
    written = words.from_sentence(rng, len(words))
    if counter.count(" ".join(written)) < tokens:
        raise InputError(f"the prose has fewer than {tokens} tokens; give a longer one as --text")
    low, high = 1, len(written)  # as many words fit, as many do not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if counter.count(" ".join(written[:middle])) <= tokens else (low, middle)
    return " ".join(written[:low])


def _sheet(text: str, asked: int, tokens: int, size: tuple[int, int]) -> Sheet:
    for print_px in range(LARGEST_PRINT, SMALLEST_PRINT - 1, -1):
        image = draw_text(text, size, print_px)
        if image:
            return Sheet(image, text, asked, tokens, print_px)
    raise InputError(
        f"{asked} text tokens do not fit on a page of {size[0]}x{size[1]} in print of {SMALLEST_PRINT} pixels; "
        "give a larger --size"
    )


def _read(
    reader: Reader, sheets: Sequence[Sheet], options: Options, note: Callable[[str], None]
) -> Iterator[PageFigures]:
    waiting = iter(enumerate(sheets))
    for step in reader.readings_of([sheet.image for sheet in sheets], options):
        if isinstance(step, Reading):
            number, sheet = next(waiting)
            transcript = step.transcript(keep_image=False)
            text = " ".join(to_markdown(replace(transcript, status=OK, reason=None)).split())
            overlap = distinct_overlap(*split_both(sheet.text, text))
            values = (overlap.precision, overlap.recall, 1 - edit.normalised(sheet.text, text))
            note(f"{options.mode}: page {number + 1} of {len(sheets)}, {sheet.tokens} text tokens, {transcript.status}")
            kind, tokens = str(sheet.asked_tokens), step.stats.vision_tokens
            failed = transcript.status == FAILED
            yield PageFigures(str(number), options.mode, kind, sheet.tokens, tokens, values, failed)
