"""Talks to the person: answers go to stdout, all else to stderr; a mistake is one line and its exit code."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from dsocr.errors import FileAccessError, InputError

if TYPE_CHECKING:
    from dsocr.jobs.job import Voice

INTERRUPTED = 130
NOBODY_READS = 141  # what a shell tells of a program that writes to a pipe without a reader


@dataclass
class _Screen:
    """Whether the last line that went to stdout has not come to its end."""

    in_a_line: bool = False


_SCREEN = _Screen()


def leave(work: Callable[[], int]) -> None:
    """Run a command; a person's mistake is one line and its exit code, Ctrl-C and a polite kill are 130."""
    # What picture libraries think of damaged metadata is not for the person who reads pages.
    warnings.filterwarnings("ignore", module="PIL")
    try:
        code = work()
    except InputError as error:
        note(f"error: {error}")
        code = error.exit_code
    except KeyboardInterrupt:
        note("interrupted")
        code = INTERRUPTED
    except BrokenPipeError:  # Whoever read our answers has had enough; of notes `note` would not have told.
        _close_stdout()
        code = NOBODY_READS
    except OSError as error:
        code = give_up(error)
    raise typer.Exit(code)


def give_up(error: OSError) -> int:
    """What the system refused ends the command: one line, and the exit code."""
    note(f"error: cannot go on ({error.strerror or error})")
    _close_stdout()
    return FileAccessError.exit_code


def to_stdout(text: str) -> None:
    """Part of an answer, at once. FileAccessError where it cannot be written, BrokenPipeError where nobody reads it."""
    try:
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _close_stdout()
        raise FileAccessError(f"stdout: cannot be written ({error.strerror or error})") from None
    if text:
        _SCREEN.in_a_line = not text.endswith("\n")


def _close_stdout() -> None:
    """What still waits to be written goes nowhere, or Python would try once more on its way out."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@contextmanager
def open_voice(quiet: bool, stats: bool, *, moves: bool) -> Iterator[Voice]:
    """Answers to stdout, all else to stderr; where `moves`, a terminal gets a line that moves as well."""
    from dsocr.jobs.job import Voice

    say = _note_errors if quiet else note
    figures = note if stats else lambda _: None
    if quiet or not moves or not sys.stderr.isatty():
        yield Voice(to_stdout, say, figures)
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status("") as status:

        def answer(text: str) -> None:
            status.stop()
            to_stdout(text)
            status.start()

        answers = answer if sys.stdout.isatty() else to_stdout
        yield Voice(answers, say, figures, lambda line: status.update(escape(line)))


def tell_more() -> None:
    """What the program notes for itself goes to stderr as well."""
    teller = logging.StreamHandler()
    teller.setFormatter(logging.Formatter("dsocr: %(message)s"))
    log = logging.getLogger("dsocr")
    log.addHandler(teller)
    log.setLevel(logging.INFO)


def _note_errors(line: str) -> None:
    if line.startswith("error: "):
        note(line)


def note(line: str) -> None:
    """One line on stderr; on a screen that shows answers, too, it does not go on in a line of theirs.

    Where it cannot be written, because nobody reads it or there is no room, the work goes on without it.
    """
    with suppress(OSError):
        if _SCREEN.in_a_line and sys.stdout.isatty() and sys.stderr.isatty():
            print(file=sys.stderr)
            _SCREEN.in_a_line = False
        print("dsocr:", " ".join(line.splitlines()), file=sys.stderr)
