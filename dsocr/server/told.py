"""What the worker tells of a document page by page, and the ways in which a request can end badly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from PIL import Image

from dsocr.document.blocks import Transcript
from dsocr.engine.request import Stats

# What the rooms below advise whoever types a command, and what whoever asks over HTTP can do instead.
_ADVICE = (
    ("its password with --password", "its password (a field of /api/read), or send an unlocked copy"),
    ("lower --dpi, or raise --max-pixels", "lower the dpi (a field of /api/read), or send a smaller page"),
    ("raise --max-pixels", "send a smaller page"),
    (" if you trust the file", ""),
    ("try a lower --dpi", "try a lower dpi (a field of /api/read)"),
    (", or, if you trust it, read it with --no-apart", ""),
    ("raise --memory or choose", "choose"),
    (": lower --memory or --batch", ""),
)


@dataclass(frozen=True)
class PageBegun:
    """A page is about to be written: its number, its picture, and how many pages are read of its document in all."""

    number: int
    image: Image.Image = field(repr=False)
    dpi: float | None
    of: int

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.image.size


@dataclass(frozen=True)
class PageText:
    """More of what is written about a page."""

    number: int
    text: str


@dataclass(frozen=True)
class PageDone:
    """A page is read. Its transcript is what counts: what was told before may have begun to repeat itself.

    A page that could not be shown has no PageBegun, and its transcript the status failed. `of` as in PageBegun.
    """

    transcript: Transcript
    stats: Stats
    of: int


Event: TypeAlias = PageBegun | PageText | PageDone


class Busy(Exception):
    """As many requests wait as may; try again in `seconds`."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many requests wait already; try again in {seconds} seconds")
        self.seconds = seconds


class OutOfTime(Exception):
    """A request took longer than any may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not done within {seconds:g} seconds, and given up")


class ReaderFailed(Exception):
    """The reader itself failed; what happened is in the log and goes to nobody else."""

    def __init__(self) -> None:
        super().__init__("the reader failed on this; what it has done is in the server's log")


class ServerEnds(ReaderFailed):
    """The server was told to end, and the answer took longer than it had."""

    def __str__(self) -> str:
        return "the server is ending; ask again when it is back"


def for_clients(words: str) -> str:
    """What is wrong, without the options of a command line, which no client has."""
    for told, instead in _ADVICE:
        words = words.replace(told, instead)
    return words
