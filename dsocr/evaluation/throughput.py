"""How many pages a day are read here, opening and drawing them included, beside what was published."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from dsocr.document.blocks import FAILED
from dsocr.errors import InputError
from dsocr.evaluation.predict import Reader
from dsocr.evaluation.report.table import Column, Table
from dsocr.evaluation.report.writer import Fact, Report, Section
from dsocr.ocr import OCR, Options
from dsocr.pages import Source
from dsocr.reading import Reading
from dsocr.remote import RemoteReader

DAY = 24 * 3600  # seconds
PAGES_A_DAY = 200_000  # the paper, one A100-40G
TOKENS_A_SECOND = 2_500  # the published README, PDFs side by side on one A100-40G


@dataclass(frozen=True)
class ReadPage:
    """One page that was read: how it ended, its size in pixels, its tokens, and why if it could not be read."""

    status: str
    size: tuple[int, int]
    tokens: int
    vision_tokens: int
    reason: str | None = None


@dataclass(frozen=True)
class Pace:
    """All pages that were read and how long it took from the first file to the last page's end."""

    pages: tuple[ReadPage, ...]
    seconds: float
    passes: int
    warm_up: int  # pages read before, which do not count
    warm_up_seconds: float

    @property
    def read(self) -> tuple[ReadPage, ...]:
        """Pages that could be read."""
        return tuple(page for page in self.pages if page.status != FAILED)

    @property
    def pages_a_day(self) -> float:
        """At this pace, around the clock."""
        return len(self.read) / self.seconds * DAY

    @property
    def tokens_a_second(self) -> float:
        """Written tokens over all the time, that for opening pages and looking at them included."""
        return sum(page.tokens for page in self.read) / self.seconds


def measure(
    reader: Reader, sources: Sequence[Source], options: Options, seconds: float, note: Callable[[str], None]
) -> Pace:
    """Read all sources once without a clock, then again and again, whole, until the seconds are over.

    The first pass takes what comes only once: compiling, memory, files that the system has yet to fetch. InputError
    where no page can be read.
    """
    began = time.perf_counter()
    first = _read_all(reader, sources, options)
    taken = time.perf_counter() - began
    _check_some_read(first, "none of these files has a page that can be read")
    note(f"warm-up: {len(first)} pages in {taken:.1f} s")
    pages, passes = list[ReadPage](), 0
    began = time.perf_counter()
    while passes == 0 or time.perf_counter() - began < seconds:
        pages += _read_all(reader, sources, options)
        passes += 1
    _check_some_read(pages, "after the warm-up every page failed")
    return Pace(tuple(pages), time.perf_counter() - began, passes, len(first), taken)


def report(pace: Pace, facts: Sequence[Fact]) -> Report:
    """What was measured, on which pages, beside what was published."""
    days, rate = pace.pages_a_day, pace.tokens_a_second
    columns = (
        Column("what"),
        Column("here", ",.6g"),
        Column("published", ",.6g"),
        Column("share", ".2%"),
        Column("of what"),
    )
    rows = (
        ("pages a day", days, PAGES_A_DAY, days / PAGES_A_DAY, "one A100-40G (paper)"),
        ("tokens a second", rate, TOKENS_A_SECOND, rate / TOKENS_A_SECOND, "one A100-40G, concurrent PDFs (README)"),
        ("seconds a page", pace.seconds / len(pace.read), DAY / PAGES_A_DAY, None, "one A100-40G (paper)"),
    )
    note = (
        "Here: from opening the files to the end of the last page. The published figures name no page mix, mode or "
        "number of tokens, so that they can only be stood beside, not compared."
    )
    return Report(
        "Throughput",
        (*facts, *_mix(pace)),
        (Section("Pace", (Table("Pace", columns, rows, note),)), Section("Pages", (_sizes(pace),))),
    )


def describe(reader: OCR | RemoteReader) -> tuple[Fact, ...]:
    """On what it reads here, and how much at once."""
    if isinstance(reader, RemoteReader):
        return (Fact("read at once", f"{reader.batch} by each server"),)
    network = reader.network
    device = Fact("device", f"{_describe_device(network.device)}, {network.dtype}")
    return device, Fact("read at once", str(reader.batch))


def _describe_device(device: torch.device) -> str:
    """Which device, and with how many threads where it is the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads" if device.type == "cpu" else f"{device.type}, {name}"


def _read_all(reader: Reader, sources: Sequence[Source], options: Options) -> list[ReadPage]:
    pages = []
    for step in reader.readings_of(sources, options):
        if isinstance(step, Reading):
            end = step.transcript(keep_image=False)
            size, vision_tokens = (end.width, end.height), step.stats.vision_tokens
            pages.append(ReadPage(end.status, size, step.tokens, vision_tokens, end.reason))
        elif step.error:
            pages.append(ReadPage(FAILED, (0, 0), 0, 0, str(step.error)))
    return pages


def _check_some_read(pages: Sequence[ReadPage], message: str) -> None:
    """InputError, with the first page's reason, where no page could be read."""
    if all(page.status == FAILED for page in pages):
        why = next((f": {page.reason}" for page in pages if page.reason), "")
        raise InputError(message + why)


def _mix(pace: Pace) -> tuple[Fact, ...]:
    tokens = [page.tokens for page in pace.read]
    ended = [page.status for page in pace.pages]
    statuses = ", ".join(f"{ended.count(status)} {status}" for status in dict.fromkeys(ended))
    spread = f"mean {statistics.mean(tokens):,.0f}, median {statistics.median(tokens):,.0f}, most {max(tokens):,}"
    vision = statistics.mean(page.vision_tokens for page in pace.read)
    return (
        Fact("pages", f"{pace.warm_up}, read {pace.passes} × ({statuses})"),
        Fact("time", f"{pace.seconds:.1f} s, after a warm-up of {pace.warm_up} pages in {pace.warm_up_seconds:.1f} s"),
        Fact("tokens written for a page", spread),
        Fact("vision tokens of a page", f"mean {vision:,.0f}"),
    )


def _sizes(pace: Pace) -> Table:
    """What the pages look like: their sizes, and how many tokens each sort takes."""
    groups: dict[str, list[ReadPage]] = {}
    for page in pace.read:
        groups.setdefault(f"{page.size[0]}×{page.size[1]}", []).append(page)
    rows = tuple(
        (
            size,
            len(own) // pace.passes,
            statistics.mean(page.vision_tokens for page in own),
            statistics.mean(page.tokens for page in own),
        )
        for size, own in sorted(groups.items(), key=lambda item: -len(item[1]))
    )
    columns = (
        Column("size"),
        Column("pages"),
        Column("vision tokens, mean", ",.0f"),
        Column("tokens written, mean", ",.0f"),
    )
    return Table("Page mix", columns, rows)
