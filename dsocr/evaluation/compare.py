"""dsocr beside any program that turns a file into text: accuracy where the truth is known, and time, in one run."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from dsocr.document import to_text
from dsocr.document.blocks import BLANK, OK
from dsocr.errors import InputError
from dsocr.evaluation import edit
from dsocr.evaluation.predict import Reader
from dsocr.evaluation.report.bootstrap import mean
from dsocr.evaluation.report.table import Cell, Column, Table
from dsocr.evaluation.report.writer import Fact, Report, Section
from dsocr.evaluation.words import distinct_overlap, split_both
from dsocr.ocr import Options
from dsocr.reading import Reading
from dsocr.remote import RemoteReader

FILE = "{file}"
_SHOWN = 120  # characters of a program's complaint
_SHARES = (
    "Shares are over files whose text is known, white space as single spaces; precision and recall are of distinct "
    "words; seconds are over files that could be read."
)
_IS_LOADED = "dsocr has loaded its checkpoint and read one file before the clock starts."
_SERVERS_RUN = "dsocr's servers run, and have read one file, before the clock starts; they may still know that file."
_COMMAND_STARTS = "A command is a new process for each file, its start included."
_BRACKETS = "In brackets: where the mean of 95 % of samples drawn again from these files lies."


@dataclass(frozen=True)
class Contestant:
    """Somebody who reads: `read` gives a file's text, or raises Failure; start: what lies before the clock's start."""

    name: str
    how: str
    read: Callable[[Path], str]
    start: str = ""


class Failure(Exception):
    """A file could not be read by a contestant; the message says why."""


@dataclass(frozen=True)
class Measured:
    """What a contestant made of a file. The shares are None where the file's truth is not known."""

    contestant: str
    file: str
    seconds: float
    failure: str | None
    accuracy: float | None  # 1 - edit distance
    precision: float | None
    recall: float | None


def parse_contestant(text: str, limit: float) -> Contestant:
    """Such as "tesseract=tesseract {file} stdout": a name and a command, run without a shell, for `limit` seconds.

    InputError where there is no name, no {file}, or no such program.
    """
    name, equals, command = text.partition("=")
    name = name.strip()
    if not equals or not name or FILE not in command:
        raise InputError(f"contestant {text!r} is no 'name=command {FILE}', such as 'x=tesseract {FILE} stdout'")
    try:
        parts = shlex.split(command)
    except ValueError as error:
        raise InputError(f"contestant {name!r}: its command cannot be taken apart ({error}): {command}") from None
    if shutil.which(parts[0]) is None:
        raise InputError(f"contestant {name!r}: there is no program {parts[0]!r} here; install it or give its path")
    return Contestant(name, command.strip(), partial(run_command, parts, limit), _COMMAND_STARTS)


def own_contestant(reader: Reader, options: Options, how: str) -> Contestant:
    """dsocr itself, in this process, its checkpoint loaded before the clock starts, or its servers running."""
    start = _SERVERS_RUN if isinstance(reader, RemoteReader) else _IS_LOADED
    return Contestant("dsocr", how, partial(_read_here, reader, options), start)


def run_command(parts: Sequence[str], limit: float, file: Path) -> str:
    """What the command has written to stdout for a file when it ends; Failure where that is too late, or badly.

    Whatever it has started ends with it.
    """
    command = [part.replace(FILE, str(file)) for part in parts]
    # Files and not pipes: a pipe ends when the last of those that the command has started lets go of it.
    with TemporaryFile() as answer, TemporaryFile() as complaint:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=answer,
                stderr=complaint,
                start_new_session=os.name == "posix",  # so that it can be ended with all that it has started
            )
        except OSError as error:
            raise Failure(error.strerror or str(error)) from None
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            raise Failure(f"not done after {limit:g} s") from None
        finally:
            _end(process)
        if process.returncode:
            last = _text(complaint).strip().splitlines()[-1:]
            raise Failure(": ".join([f"exit code {process.returncode}", *last])[:_SHOWN])
        return _text(answer)


def warm_up(contestant: Contestant, file: Path) -> None:
    """Read a file without a clock, so that what comes only once is over; that it fails is told when it counts."""
    with suppress(Failure):
        contestant.read(file)


def compare(
    contestants: Sequence[Contestant], files: Sequence[Path], note: Callable[[str], None]
) -> tuple[Measured, ...]:
    """Every file by every contestant in turn, so that what else the machine does meets all of them alike.

    The truth of page.png is page.txt beside it, where there is one. A file that is not read scores nothing.
    """
    names = [contestant.name for contestant in contestants]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"two contestants are called {twice!r}; give each a name of its own")
    measured = []
    for file in files:
        for contestant in contestants:
            measured.append(_measure(contestant, file))
            failed = f", failed: {measured[-1].failure}" if measured[-1].failure else ""
            note(f"{file.name}, {contestant.name}: {measured[-1].seconds:.2f} s{failed}")
    return tuple(measured)


def truth_file(file: Path) -> Path:
    """Where the text of a file lies, if anybody has written it down."""
    return file.with_suffix(".txt")


def report(measured: Sequence[Measured], contestants: Sequence[Contestant], facts: Sequence[Fact]) -> Report:
    """All contestants side by side, over all files and for each."""
    files = list(dict.fromkeys(each.file for each in measured))
    known = sum(each.accuracy is not None for each in measured) // max(1, len(contestants))
    told = (
        *facts,
        Fact("files", f"{len(files)}, the text of {known} is known"),
        *(Fact(contestant.name, contestant.how) for contestant in contestants),
    )
    columns = (
        *(Column("contestant"), Column("files"), Column("failed"), Column("1 - edit distance", ".1%")),
        *(Column("word precision", ".1%"), Column("word recall", ".1%"), Column("seconds a file", ".2f")),
    )
    rows = tuple(_row(contestant.name, measured) for contestant in contestants)
    note = " ".join([_SHARES, *dict.fromkeys(each.start for each in contestants if each.start), _BRACKETS])
    return Report(
        "Comparison",
        told,
        (
            Section("Side by side", (Table("All files", columns, rows, note),)),
            Section("File by file", (_each(measured),)),
        ),
    )


def _measure(contestant: Contestant, file: Path) -> Measured:
    failure = None
    began = time.perf_counter()
    try:
        text = contestant.read(file)
    except Failure as error:
        text, failure = "", str(error)
    seconds = time.perf_counter() - began
    truth = truth_file(file)
    if not truth.is_file():
        return Measured(contestant.name, file.name, seconds, failure, None, None, None)
    expected, found = _plain(truth.read_text(encoding="utf-8", errors="replace")), _plain(text)
    overlap = distinct_overlap(*split_both(expected, found))
    accuracy = 1 - edit.normalised(expected, found)
    return Measured(contestant.name, file.name, seconds, failure, accuracy, overlap.precision, overlap.recall)


def _read_here(reader: Reader, options: Options, file: Path) -> str:
    """The file's text; Failure for a page that is not ok or blank: `dsocr read` would end with an error there."""
    pages = []
    for step in reader.readings_of([file], options):
        if isinstance(step, Reading):
            pages.append(step.transcript(keep_image=False))
        elif step.error:
            raise Failure(str(step.error))
    lost = next((page for page in pages if page.status not in (OK, BLANK)), None)
    if lost:
        why = f": {lost.reason}" if lost.reason else ""
        raise Failure(f"page {lost.page} {lost.status}{why}"[:_SHOWN])
    return "\n".join(to_text(replace(page, status=OK, reason=None)) for page in pages)


def _end(process: subprocess.Popen[bytes]) -> None:
    """A program that still runs is ended, and so is whatever it has started, though it itself be gone."""
    with suppress(ProcessLookupError, PermissionError):  # a group of which nobody is left
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        elif process.poll() is None:
            process.kill()
    process.wait()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def _plain(text: str) -> str:
    return " ".join(text.split())


def _row(name: str, measured: Sequence[Measured]) -> tuple[Cell, ...]:
    own = [each for each in measured if each.contestant == name]
    shares = (
        [each.accuracy for each in own],
        [each.precision for each in own],
        [each.recall for each in own],
        [each.seconds for each in own if each.failure is None],
    )
    failed = sum(each.failure is not None for each in own)
    return name, len(own), failed, *(mean([value for value in share if value is not None]) for share in shares)


def _each(measured: Sequence[Measured]) -> Table:
    columns = (
        *(Column("file"), Column("contestant"), Column("1 - edit distance", ".1%"), Column("word precision", ".1%")),
        *(Column("word recall", ".1%"), Column("seconds", ".2f"), Column("failed")),
    )
    rows = tuple(
        (each.file, each.contestant, each.accuracy, each.precision, each.recall, each.seconds, each.failure or "")
        for each in measured
    )
    return Table("Each file", columns, rows)
