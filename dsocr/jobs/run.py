"""Many files, one after another: each is read and written before the next, and one bad file costs only itself."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Protocol

from dsocr.document import FAILED, OK, SKIPPED, Document, Transcript
from dsocr.errors import InputError
from dsocr.ocr import OCR, Options, Reading
from dsocr.pages import BrokenPage, find_inputs
from dsocr.pages.inputs import show

SOME_PAGES_NOT_OK = 10  # exit code: everything was read as far as it went, and not every page is ok


class Output(Protocol):
    """Where a run's answers go."""

    def begin_document(self, source: str) -> None:
        """A document starts."""

    def begin_page(self, page: int, width: int, height: int, labels_are_text: bool) -> None:
        """A page starts."""

    def add(self, text: str) -> None:
        """More of the page's text."""

    def end_page(self, transcript: Transcript) -> None:
        """The page is read; its picture is let go after this."""

    def end_document(self, document: Document) -> None:
        """All pages are read."""


@dataclass
class Run:
    """One reader, one output, and what the whole comes to.

    `note` gets a line for each page and error, `progress` one for each token, `stats` one for each page's figures.
    """

    ocr: OCR
    output: Output
    options: Options
    note: Callable[[str], None]
    progress: Callable[[str], None] = lambda _: None
    stats: Callable[[str], None] = lambda _: None
    exit_code: int = 0
    not_ok: int = 0

    def read(self, paths: Iterable[str | os.PathLike[str]]) -> int:
        """Read files and the files in folders; gives back the exit code of the whole."""
        for source in find_inputs(paths):
            try:
                self._read_document(source)
            except InputError as error:
                self._say(error)
        return self.exit_code or (SOME_PAGES_NOT_OK if self.not_ok else 0)

    def _read_document(self, source: str | os.PathLike[str]) -> None:
        transcripts: list[Transcript] = []
        name, number = str(source), 0
        try:
            with closing(self.ocr.readings(source, self.options)) as readings:
                for reading in readings:
                    name, number = reading.page.source, reading.page.number
                    if not transcripts:
                        self.output.begin_document(name)
                    transcripts.append(replace(self._read_page(reading), image=None))
        except BaseException:  # Ctrl-C above all: it must not cost the pages before, nor hide that some are missing
            if transcripts:
                number = max(number, transcripts[-1].page + 1)
                transcripts.append(
                    Transcript(number, 0, 0, "", (), SKIPPED, "interrupted; nothing after this was read")
                )
                with suppress(InputError):
                    self.output.end_document(Document(name, tuple(transcripts)))
            raise
        self.output.end_document(Document(name, tuple(transcripts)))

    def _read_page(self, reading: Reading) -> Transcript:
        page, began = reading.page, time.perf_counter()
        width, height = (0, 0) if isinstance(page, BrokenPage) else page.size
        self.output.begin_page(page.number, width, height, reading.labels_are_text)
        for delta in reading:
            self.output.add(delta.text)
            self.progress(f"{show(page.source)} page {page.number}: {reading.tokens} tokens")
        transcript = reading.transcript()
        try:
            self.output.end_page(transcript)
        except InputError as error:  # a picture that cannot be written must not cost the page's text
            self._say(error)
        self.not_ok += transcript.status != OK
        self.note(_report(reading, transcript, time.perf_counter() - began))
        self.stats(_figures(reading))
        return transcript

    def _say(self, error: InputError) -> None:
        self.note(f"error: {error}")
        self.exit_code = self.exit_code or error.exit_code


def _report(reading: Reading, transcript: Transcript, seconds: float) -> str:
    """One line about a page; that of a failed one is an error and is shown even to those who want no notes."""
    where = f"{show(reading.page.source)} page {transcript.page}: {transcript.status}"
    why = f" ({transcript.reason})" if transcript.reason else ""
    if transcript.status == FAILED:
        return f"error: {where}{why}"
    return f"{where}{why}, {reading.tokens} tokens, {seconds:.1f} s"


def _figures(reading: Reading) -> str:
    """One line about what a page took; all such lines have their figures below one another."""
    stats = reading.stats
    return (
        f"stats: {stats.prompt_places:5} places {stats.vision_tokens:5} vision tokens {stats.tokens_out:5} tokens out "
        f"{stats.compression:6.2f} to 1  render {stats.render_seconds:6.2f} s  encode {stats.encode_seconds:6.2f} s  "
        f"prefill {stats.prefill_seconds:6.2f} s  decode {stats.decode_seconds:7.2f} s "
        f"{stats.tokens_per_second:7.1f} tokens/s  {show(reading.page.source)} page {reading.page.number}"
    )
