"""Documents that were read a while ago, for those who come back for them: bounded in number, bytes and time."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dsocr.document import Document, Transcript

MOST_DOCUMENTS = 100
MOST_BYTES = 2**29
MOST_SECONDS = 3600.0


@dataclass
class Kept:
    """One document: its file, the pictures of its pages as JPEG by their numbers, and what was read of them.

    id: nobody can guess it, so that whoever knows it was told.
    """

    id: str
    name: str
    original: bytes = field(repr=False)
    password: str | None = field(default=None, repr=False)
    pictures: dict[int, bytes] = field(default_factory=dict, repr=False)
    transcripts: list[Transcript] = field(default_factory=list, repr=False)
    used: float = 0.0

    @property
    def document(self) -> Document:
        """What was read so far, its pages in their order."""
        return Document(self.name, tuple(sorted(self.transcripts, key=lambda page: page.page)))

    @property
    def size(self) -> int:
        """Bytes, nearly: a page's text is found twice, in its raw form and in its blocks."""
        texts = sum(2 * len(page.raw) for page in self.transcripts)
        return len(self.original) + sum(map(len, self.pictures.values())) + texts


class Documents:
    """The documents by their ids; those that were not asked for the longest time make room for others."""

    def __init__(
        self,
        most: int = MOST_DOCUMENTS,
        most_bytes: int = MOST_BYTES,
        seconds: float = MOST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """seconds: how long a document is kept that nobody asks for."""
        self._most, self._most_bytes, self._seconds, self._clock = most, most_bytes, seconds, clock
        self._kept: dict[str, Kept] = {}

    def begin(self, name: str, original: bytes, password: str | None = None) -> Kept:
        """A document that is going to be read."""
        kept = Kept(secrets.token_urlsafe(18), name, original, password, used=self._clock())
        self._kept[kept.id] = kept
        self._make_room(kept)
        return kept

    def find(self, id: str) -> Kept | None:
        """The document of that id, if it is still here."""
        self._make_room()
        kept = self._kept.get(id)
        if kept:
            kept.used = self._clock()
        return kept

    def add_picture(self, kept: Kept, number: int, jpeg: bytes) -> bool:
        """Keep the picture of a page, unless there is no room for it: a document of many pages can have too many."""
        kept.pictures[number] = jpeg
        kept.used = self._clock()
        self._make_room(kept)
        if self._bytes() <= self._most_bytes:
            return True
        del kept.pictures[number]
        return False

    def _make_room(self, but: Kept | None = None) -> None:
        oldest_first = sorted(self._kept.values(), key=lambda kept: kept.used)
        for kept in oldest_first:
            late = self._clock() - kept.used > self._seconds
            full = len(self._kept) > self._most or self._bytes() > self._most_bytes
            if kept is not but and (late or full):
                del self._kept[kept.id]

    def _bytes(self) -> int:
        return sum(kept.size for kept in self._kept.values())
