"""What a run would do, found without loading a model: its files, their pages and tokens, and how long it may take."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from dsocr.errors import InputError
from dsocr.jobs.manifest import Facts, now
from dsocr.jobs.summary import count, show_seconds
from dsocr.jobs.whole import write_whole
from dsocr.ocr import Options
from dsocr.pages import PageSize, get_mode, measure_pages
from dsocr.pages.inputs import STDIN, Input, files_of, show
from dsocr.pages.tiling import choose_layout
from dsocr.pages.urls import is_url
from dsocr.reading import tokens_on_page

HISTORY = "runs.jsonl"
THERE = "its answers are there already"
_REMEMBERED = 200  # runs
_RECENT = 1000  # pages that an estimate rests on


@dataclass(frozen=True)
class Pace:
    """How fast pages were read: so many in so many seconds, all pages that were read at once taken together."""

    pages: int
    seconds: float


def sizes_of(source: str | os.PathLike[str], options: Options) -> list[PageSize] | None:
    """The pages that would be read; None for what can be opened only once or only from afar.

    Raises InputError for what cannot be opened at all.
    """
    if source == STDIN or is_url(source):
        return None
    measure = partial(
        measure_pages,
        pages=options.pages,
        dpi=options.dpi,
        password=options.password,
        max_pixels=options.max_pixels,
        apart=options.apart,
    )
    return [size for path in files_of(source) for size in measure(path)]


def tell_plan(
    inputs: Iterable[Input],
    options: Options,
    is_there: Callable[[Input], bool],
    pace: Pace | None,
    say: Callable[[str], None],
    note: Callable[[str], None],
) -> int:
    """Say what would be read, a line for each input and two for the whole; gives back the exit code.

    is_there: whether an input would be skipped.
    """
    mode, files, pages, tokens, uncounted, exit_code = get_mode(options.mode), 0, 0, 0, 0, 0
    for each in inputs:
        name = each.name if each.source == STDIN else show(each.source)
        if is_there(each):
            say(f"{name}: skipped, {THERE}")
            continue
        try:
            sizes = sizes_of(each.source, options)
        except InputError as error:
            note(f"error: {error}")
            exit_code = exit_code or error.exit_code
            continue
        if sizes is None:
            say(f"{name}: its pages cannot be counted beforehand")
            uncounted += 1
            continue
        seen = sum(
            tokens_on_page((size.width, size.height), choose_layout(size.width, size.height, mode), mode)
            for size in sizes
            if size.width
        )
        say(f"{name}: {count(len(sizes), 'page')}, {seen:,} vision tokens")
        files, pages, tokens = files + 1, pages + len(sizes), tokens + seen
    counted = f"{count(files, 'file')}, {count(pages, 'page')}, {tokens:,} vision tokens"
    others = f"not counted: {count(uncounted, 'input')}"
    say(counted if not uncounted else f"{counted}; {others}" if files else others)
    say(_estimate(pages, uncounted, pace))
    return exit_code


def _estimate(pages: int, uncounted: int, pace: Pace | None) -> str:
    if not pages:
        return "how long it may take is not known: no page is counted" if uncounted else "nothing would be read"
    if pace is None:
        return "how long it may take is not known: nothing has been read here with this model and mode yet"
    each = pace.seconds / pace.pages
    about = f"about {show_seconds(pages * each)}" + (" for what is counted" if uncounted else "")
    return f"{about}: {each:.2g} s a page, as over {count(pace.pages, 'page')} read here before"


def read_pace(history: Path, facts: Facts) -> Pace | None:
    """How fast the last runs were that had the same model, mode, device and dtype; None where there was none."""
    pages, seconds = 0, 0.0
    for line in reversed(_lines(history)):
        try:
            form = json.loads(line)
            if all(form[name] == getattr(facts, name) for name in ("model", "mode", "device", "dtype")):
                pages, seconds = pages + int(form["pages"]), seconds + float(form["seconds"])
        except (ValueError, KeyError, TypeError):
            continue
        if pages >= _RECENT:
            break
    return Pace(pages, seconds) if pages > 0 and math.isfinite(seconds) else None


def add_pace(history: Path, facts: Facts, pace: Pace) -> None:
    """Remember how fast a run was; where it cannot be written, it is forgotten."""
    line = json.dumps({"time": now(), **asdict(facts), **asdict(pace)})
    try:
        write_whole(history, "".join(f"{each}\n" for each in [*_lines(history), line][-_REMEMBERED:]).encode())
    except OSError:
        return


def _lines(history: Path) -> list[str]:
    try:
        return history.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
