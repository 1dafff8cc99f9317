"""Many documents, read as one stream of pages: every page ends in its document, in the manifest and in the summary."""

from __future__ import annotations

import collections
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Protocol

from dsocr.document import FAILED, SKIPPED, Document, Transcript
from dsocr.errors import InputError
from dsocr.jobs.manifest import Facts, Manifest, Outcome
from dsocr.jobs.memory import Housekeeper
from dsocr.jobs.plan import THERE, Pace, sizes_of
from dsocr.jobs.progress import Progress
from dsocr.jobs.summary import FINE, UNWRITTEN, Summary
from dsocr.ocr import Options
from dsocr.pages import BrokenPage, Source
from dsocr.pages.inputs import STDIN, Input, show
from dsocr.pages.urls import is_url
from dsocr.reading import Reading, Shelf, SourceEnd

SOME_PAGES_NOT_OK = 10  # exit code: everything was read as far as it went, and not every page is ok
_INTERRUPTED = "the run was interrupted before this was read"


class Reader(Protocol):
    """Whoever reads pages, here or elsewhere."""

    def readings_of(
        self, sources: Iterable[Source], options: Options, shelf: Shelf | None = None
    ) -> Generator[Reading | SourceEnd, None, None]:
        """The readings of one source after another, each followed by its SourceEnd."""


class Output(Protocol):
    """Where a run's answers go."""

    def choose_name(self, name: str, source: str | os.PathLike[str] | None = None) -> str:
        """What the answers of a document will be called; asked in the order of the documents, read or not."""

    def is_written(self, name: str) -> bool:
        """Whether all answers of that name are there and whole."""

    def begin_document(self, source: str, name: str | None = None) -> None:
        """A document starts, under a name that was chosen or a new one."""

    def begin_page(self, page: int, width: int, height: int, labels_are_text: bool) -> None:
        """A page starts."""

    def add(self, text: str) -> None:
        """More of the page's text."""

    def begin_again(self) -> None:
        """What was added of the page so far is void: it repeated itself, and all of its text comes anew."""

    def end_page(self, transcript: Transcript) -> None:
        """The page is read; its picture is let go after this. What cannot be written is raised at the end."""

    def end_document(self, document: Document) -> None:
        """All pages are read; InputError for what of the document could not be written."""


@dataclass
class Draft:
    """A document on its way: one that waits to be read has no pages yet."""

    input: Input
    name: str
    transcripts: list[Transcript] = field(default_factory=list)

    @property
    def source(self) -> str:
        """What the document is called where people see it; what follows a ? in an address may be a secret."""
        source = self.input.source
        if source == STDIN:
            return self.input.name
        return str(source).partition("?")[0] if is_url(source) else str(source)


@dataclass
class Run:
    """One reader, one output, and what the whole comes to.

    `note` gets a line for each page and error, `stats` one for each page's figures; facts: what the manifest says of
    every page; shelf: where read pages are kept.
    """

    ocr: Reader
    output: Output
    options: Options
    facts: Facts
    note: Callable[[str], None]
    stats: Callable[[str], None] = lambda _: None
    progress: Progress = field(default_factory=Progress)
    shelf: Shelf | None = None
    manifest: Manifest | None = None
    skip_existing: bool = False
    exit_code: int = 0
    summary: Summary = field(default_factory=Summary)
    seconds: float = 0.0
    _drafts: collections.deque[Draft] = field(default_factory=collections.deque)
    _housekeeper: Housekeeper = field(default_factory=Housekeeper)

    def read(self, inputs: Iterable[Input]) -> int:
        """Read all inputs; gives back the exit code of the whole."""
        began = time.perf_counter()
        self._drafts.extend(draft for draft in map(self._draft, inputs) if not self._skips(draft))
        self.progress.begin([draft.input for draft in self._drafts], self.options)
        sources = [draft.input.source for draft in self._drafts]
        try:
            with closing(self.ocr.readings_of(sources, self.options, self.shelf)) as steps:
                for step in steps:
                    if isinstance(step, SourceEnd):
                        self._end(self._drafts.popleft(), step.error)
                    else:
                        self._read_page(self._drafts[0], step)
        except BaseException as error:  # Ctrl-C above all: it must not cost the pages before, nor hide what is missing
            with _uninterrupted():
                self._break_off(str(error) if isinstance(error, InputError) else _INTERRUPTED)
            raise
        finally:
            self.progress.stop()
            self.seconds = time.perf_counter() - began
        return self.exit_code or (SOME_PAGES_NOT_OK if self.summary.not_fine else 0)

    @property
    def pace(self) -> Pace | None:
        """How fast those pages were read that had to be."""
        pages = self.summary.pages.total() - self.summary.pages[SKIPPED] - self.summary.cached
        return Pace(pages, self.seconds) if pages else None

    def _draft(self, each: Input) -> Draft:
        return Draft(each, self.output.choose_name(each.name, each.source))

    def _skips(self, draft: Draft) -> bool:
        skips = self.skip_existing and self.output.is_written(draft.name)
        if skips:
            self._record(Outcome(draft.source, None, SKIPPED, THERE))
        return skips

    def _read_page(self, draft: Draft, reading: Reading) -> None:
        page, shown = reading.page, ""
        width, height = (0, 0) if isinstance(page, BrokenPage) else page.size
        if not draft.transcripts:
            self.output.begin_document(page.source, draft.name)
        self.output.begin_page(page.number, width, height, reading.labels_are_text)
        for delta in reading:
            self.output.add(delta.text)
            shown += delta.text
            self.progress.writing(reading)
        transcript = reading.transcript()
        if transcript.raw.startswith(shown):
            self.output.add(transcript.raw[len(shown) :])  # it was known from before
        else:
            self.output.begin_again()
            self.output.add(transcript.raw)
        outcome = _outcome(draft, reading, transcript)
        with _uninterrupted():  # a page that is told of as read is not told of as skipped, too
            self.output.end_page(transcript)
            self._record(outcome)
            draft.transcripts.append(replace(transcript, image=None))
        self._housekeeper.sweep()
        if outcome.status not in FINE or not self.progress.show_line:  # else the line that moves tells
            self.note(_report(page.source, outcome))
        self.stats(_figures(reading))

    def _end(self, draft: Draft, error: InputError | None) -> None:
        """A source has no more pages, or, with an error, none that could be had."""
        if error:
            self._say(error)
            self._add_rest(draft, FAILED, str(error))
        self._write(draft)

    def _break_off(self, why: str) -> None:
        """The document in hand is written as far as it is read; whatever was not read is told to be skipped."""
        for draft in self._drafts:
            self._add_rest(draft, SKIPPED, why)
        if self._drafts:
            self._write(self._drafts[0])

    def _write(self, draft: Draft) -> None:
        """Write what is left of a document that has pages; what cannot be written is told as what became of it."""
        if not draft.transcripts:
            return
        try:
            self.output.end_document(Document(draft.source, tuple(draft.transcripts)))
        except InputError as error:
            self._say(error)
            self._record(Outcome(draft.source, None, UNWRITTEN, str(error)))

    def _add_rest(self, draft: Draft, status: str, reason: str) -> None:
        """The pages of a document that was begun and will not be read; of any other, the input as a whole."""
        if not draft.transcripts:
            self._record(Outcome(draft.source, None, status, reason))
            return
        for number in _numbers_after(draft, self.options):
            draft.transcripts.append(Transcript(number, 0, 0, "", (), status, reason, attempts=0))
            self._record(Outcome(draft.source, number, status, reason))

    def _record(self, outcome: Outcome) -> None:
        self.summary.add(outcome)
        self.progress.ended(outcome)
        if self.manifest:
            try:
                self.manifest.write(outcome, self.facts)
            except InputError as error:  # the last line may be half a line: nothing can follow it in this run
                self.manifest = None
                self._say(error)

    def _say(self, error: InputError) -> None:
        self.note(f"error: {error}")
        self.exit_code = self.exit_code or error.exit_code


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C and a polite kill wait until what is done in here is done; they reach no thread but the main one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in asked.items() if callable(handler)}
    came = list[tuple[int, FrameType | None]]()
    for number in handlers:
        signal.signal(number, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            first, frame = came[0]
            handlers[signal.Signals(first)](first, frame)


def _outcome(draft: Draft, reading: Reading, transcript: Transcript) -> Outcome:
    stats, known = reading.stats, reading.known
    seconds = stats.render_seconds + stats.encode_seconds + stats.prefill_seconds + stats.decode_seconds
    return Outcome(
        draft.source,
        transcript.page,
        transcript.status,
        transcript.reason,
        attempts=transcript.attempts,
        tokens=reading.tokens,
        seconds=stats.render_seconds if known else seconds,
        cached=known,
        rotated=transcript.rotated,
        confidence=transcript.confidence,
    )


def _numbers_after(draft: Draft, options: Options) -> list[int]:
    """The pages of a document behind those that were read; one stands for all where they cannot be counted."""
    last = draft.transcripts[-1].page
    sizes = None
    with suppress(InputError):
        sizes = sizes_of(draft.input.source, options)
    return [last + 1] if sizes is None else [size.number for size in sizes if size.number > last]


def _report(source: str, outcome: Outcome) -> str:
    """One line about a page; that of a failed one is an error and is shown even to those who want no notes."""
    where = f"{show(source)} page {outcome.page}: {outcome.status}"
    why = f" ({outcome.reason})" if outcome.reason else ""
    if outcome.status == FAILED:
        return f"error: {where}{why}"
    turned = f", turned by {outcome.rotated} degrees" if outcome.rotated else ""
    how = "known from before" if outcome.cached else f"{outcome.seconds:.1f} s"
    sure = "" if outcome.confidence is None else f", {outcome.confidence:.0%} sure"
    return f"{where}{why}{turned}, {outcome.tokens} tokens{sure}, {how}"


def _figures(reading: Reading) -> str:
    """One line about what a page took; all such lines have their figures below one another."""
    stats = reading.stats
    return (
        f"stats: {stats.prompt_places:5} places {stats.vision_tokens:5} vision tokens {stats.tokens_out:5} tokens out "
        f"{stats.compression:6.2f} to 1  render {stats.render_seconds:6.2f} s  encode {stats.encode_seconds:6.2f} s  "
        f"prefill {stats.prefill_seconds:6.2f} s  decode {stats.decode_seconds:7.2f} s "
        f"{stats.tokens_per_second:7.1f} tokens/s  {show(reading.page.source)} page {reading.page.number}"
    )
