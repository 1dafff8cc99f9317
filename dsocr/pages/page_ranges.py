"""The pages a person asks for, written like "1-3,7,10-"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dsocr.errors import InputError

_RANGE = re.compile(r"(?P<first>[0-9]{1,9})?(?P<dash>\s*-\s*(?P<last>[0-9]{1,9})?)?")


@dataclass(frozen=True)
class PageRange:
    """Pages first to last, counted from 1, both included; last = None runs to the end."""

    first: int
    last: int | None


def parse_ranges(text: str | None) -> tuple[PageRange, ...]:
    """Ranges such as 7, 1-3, 10- (to the end), -3 (from the start), divided by commas; None asks for every page.

    InputError for anything else, for page 0 and for a range that runs backwards.
    """
    if text is None:
        return (PageRange(1, None),)
    return tuple(_parse_range(part.strip(), text) for part in text.split(","))


def select_pages(ranges: tuple[PageRange, ...], count: int) -> list[int]:
    """The page numbers asked for, in the document's order, each once; InputError for one beyond count."""
    for asked in ranges:
        beyond = max(asked.first, asked.last or 0)
        if beyond > count:
            there = "the only page is 1" if count == 1 else f"there are {count:,} pages, 1-{count}"
            raise InputError(f"page {beyond} is asked for, but {there}")
    return sorted({number for asked in ranges for number in range(asked.first, (asked.last or count) + 1)})


def _parse_range(part: str, text: str) -> PageRange:
    match = _RANGE.fullmatch(part)
    if match is None or not (match["first"] or match["last"]):
        raise InputError(f"pages {text!r}: {part!r} is not a page or a range; write, for example, 1-3,7,10-")
    first = int(match["first"] or 1)
    last = None if match["dash"] and not match["last"] else int(match["last"] or first)
    if first == 0 or last == 0:
        raise InputError(f"pages {text!r}: pages are counted from 1")
    if last is not None and last < first:
        raise InputError(f"pages {text!r}: {part!r} runs backwards; write {last}-{first}")
    return PageRange(first, last)
