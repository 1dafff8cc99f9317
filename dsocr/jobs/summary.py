"""What a run came to, on one screen: how many pages ended how, and which of them a person should look at."""

from __future__ import annotations

import collections
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dsocr.document import BLANK, FAILED, OK, SKIPPED, STATUSES
from dsocr.jobs.manifest import Outcome
from dsocr.pages.inputs import show
from dsocr.rescue import UNSURE

FINE = (OK, BLANK)
UNWRITTEN = "unwritten"  # a document that was read, and not all of whose answers could be written
_LEAST = 3  # pages that the network was unsure of
_NAMED = 10  # pages and inputs
_ENDINGS, _LETTERS = 6, 12  # of files that were left out, and of an ending


@dataclass
class Summary:
    """Counts outcomes as they come; holds no more than it will show."""

    pages: collections.Counter[str] = field(default_factory=collections.Counter)
    inputs: collections.Counter[str] = field(default_factory=collections.Counter)
    left_out: str | None = None
    cached: int = 0
    not_fine: int = 0
    unsure: int = 0
    _least: list[tuple[float, str]] = field(default_factory=list)
    _named: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """A page or an input has ended."""
        if outcome.page is None:
            self.inputs[outcome.status] += 1
        else:
            self.pages[outcome.status] += 1
            self.cached += outcome.cached
            self._look_at(outcome)
        if outcome.status in FINE or (outcome.page is None and outcome.status == SKIPPED):
            return
        self.not_fine += 1
        if len(self._named) < _NAMED:
            where = show(outcome.input) + (f" page {outcome.page}" if outcome.page else "")
            self._named.append(f"not ok: {where}: {outcome.status}")

    def _look_at(self, outcome: Outcome) -> None:
        """Keep the pages in mind that the network was least sure of."""
        if outcome.confidence is None or outcome.confidence >= UNSURE:
            return
        self.unsure += 1
        self._least.append((outcome.confidence, f"{show(outcome.input)} page {outcome.page}"))
        self._least = sorted(self._least)[:_LEAST]

    @property
    def total(self) -> int:
        """How many pages and inputs without a page there were."""
        return self.pages.total() + self.inputs.total() - self.inputs[UNWRITTEN]

    def lines(self, seconds: float, manifest: Path | None) -> list[str]:
        """The summary, a line or a few."""
        by_status = ", ".join(f"{self.pages[status]:,} {status}" for status in STATUSES if self.pages[status])
        cached = f"; {self.cached:,} known from before" if self.cached else ""
        lines = [f"{count(self.pages.total(), 'page')} in {show_seconds(seconds)}: {by_status or 'none'}{cached}"]
        if self.inputs[FAILED]:
            lines.append(f"{count(self.inputs[FAILED], 'input')} could not be read")
        if self.inputs[UNWRITTEN]:
            lines.append(f"{count(self.inputs[UNWRITTEN], 'document')} not written, or not in all forms")
        if self.inputs[SKIPPED]:
            lines.append(f"{count(self.inputs[SKIPPED], 'input')} skipped")
        if self.left_out:
            lines.append(self.left_out)
        if self.unsure:
            least = ", ".join(f"{where} ({sure:.0%})" for sure, where in self._least)
            lines.append(f"{count(self.unsure, 'page')} less than {UNSURE:.0%} sure, the least: {least}")
        lines += self._named
        if self.not_fine > len(self._named):
            lines.append(f"not ok: {self.not_fine - len(self._named):,} more")
        if manifest:
            lines.append(f"how every page ended: {manifest}")
        return lines


def show_left_out(files: Iterable[Path], folders: int, links: int, answers: int) -> str | None:
    """What was found and is not read: files by their endings, folders in folders and links to such, earlier answers."""
    endings = collections.Counter(
        show(file.suffix.lower())[:_LETTERS] if file.suffix else "no ending" for file in files
    )
    told = endings.most_common(_ENDINGS)
    others = endings.total() - sum(number for _, number in told)
    told += [("others", others)] if others else []
    listed = ", ".join(f"{ending} {number:,}" for ending, number in told)
    parts = [f"{count(endings.total(), 'file')} ({listed})"] if endings else []
    parts += [f"{count(folders, 'folder')} inside (-r reads them)"] if folders else []
    parts += [f"{count(links, 'linked folder')} (not followed unless named)"] if links else []
    parts += [f"{count(answers, 'answer')} of earlier runs"] if answers else []
    return f"left out: {', '.join(parts)}" if parts else None


def count(number: int, noun: str) -> str:
    """Such as 1 page or 2,000 pages."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def show_seconds(seconds: float) -> str:
    """Such as 8.2 s, 12 min or 3 h 20 min."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
