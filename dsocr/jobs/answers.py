"""Which document each answer in a folder is of: a hidden file beside them remembers it from run to run."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dsocr.document.to_markdown import IMAGES_DIR
from dsocr.errors import FileAccessError
from dsocr.jobs.forms import ENDINGS, KINDS, MARKDOWN, OFFICIAL, TEXTS
from dsocr.jobs.manifest import NAME as MANIFEST
from dsocr.pages.inputs import STDIN
from dsocr.pages.urls import is_url

RECORD = ".dsocr.jsonl"
_NUMBERED = re.compile(r"\d+(?:_\d+)?(\.(?:jpg|csv|svg))$")


def files_named(name: str, formats: Iterable[str]) -> set[str]:
    """What the answers of a name may be called, in small letters; * for numbers, a folder ends in a slash."""
    *folders, last = name.split("/")
    found = set[str]()
    for form in formats:
        found.add(f"{name}.{ENDINGS[form]}" if form in TEXTS else KINDS[form].trace.format(name))
        if form == MARKDOWN:
            found.add("/".join((*folders, IMAGES_DIR, last, "*.jpg")))
        if form == OFFICIAL:
            found |= {name, f"{name}/"}
    return {each.casefold() for each in found}


def identify(source: str | os.PathLike[str], root: Path) -> str:
    """What tells a source from all others: a path as seen from the folder, so that both can move together.

    Of what follows a ? in an address, which may be a secret, there is a hash.
    """
    text = os.fspath(source)
    if text == STDIN:
        return text
    if is_url(text):
        address, mark, query = text.partition("?")
        return address + (mark and f"?{hashlib.sha256(query.encode()).hexdigest()[:16]}")
    path = os.path.realpath(text)
    try:
        return Path(os.path.relpath(path, root)).as_posix()
    except ValueError:  # on another drive
        return path


@dataclass
class _Document:
    """Who a name belongs to, and the pages that were asked for in each form that was written to its end.

    state: the file's size and time when it was begun; None where nothing is known of that.
    """

    source: str
    state: list[int] | None = None
    done: dict[str, str | None] = field(default_factory=dict)


class Answers:
    """The names in a folder and whose they are; close it after use."""

    def __init__(self, root: Path) -> None:
        """Reads what earlier runs wrote down; a damaged line counts as none."""
        self._root, self._path = Path(os.path.realpath(root)), root / RECORD
        self._documents: dict[str, _Document] = {}
        self._owners: dict[str, str] = {}  # of files
        self._inputs: set[str] = set()
        for line in _lines(self._path):
            self._learn(line)

    def protect(self, sources: Iterable[str | os.PathLike[str]]) -> None:
        """These are read in this run, and no answer may be called as one of them is."""
        for source in sources:
            if source != STDIN and not is_url(source):
                for place in self._places(getattr(source, "archive", source)):
                    self._inputs |= {_pattern(place), *(f"{parent}/" for parent in _parents(place))}

    def is_input(self, path: Path) -> bool:
        """Whether a file, or one that differs from it in numbers only, is read in this run."""
        return any(_pattern(place) in self._inputs for place in self._places(path))

    def is_free(self, name: str, source: str, formats: tuple[str, ...]) -> bool:
        """Whether the answers of a source may have that name: it is that of no input and of no other answer."""
        document, files = self._documents.get(name.casefold()), files_named(name, formats)
        owned = {self._owners[file] for file in files if file in self._owners} | (
            {document.source} if document else set()
        )
        return owned <= {source} and not files & self._inputs

    def is_answer(self, path: str | os.PathLike[str]) -> bool:
        """Whether an earlier run wrote a file or folder, or would have if there had been more pages."""
        return any(map(self._is_ours, self._places(path)))

    def is_done(self, name: str, source: str, formats: tuple[str, ...], pages: str | None) -> bool:
        """Whether these very pages of the source, as it is now, were written to their end, in all these forms."""
        document = self._documents.get(name.casefold())
        if document is None or document.source != source:
            return False
        state = self._state_of(source)
        if document.state and state and document.state != state:
            return False
        return all(form in document.done and document.done[form] == pages for form in formats)

    def note(self, name: str, source: str, formats: tuple[str, ...], pages: str | None, *, done: bool) -> None:
        """A document is about to be written, or it is done; FileAccessError where that cannot be written down."""
        line: dict[str, Any] = {"name": name, "input": source, "pages": pages, "formats": formats, "done": done}
        begun = self._documents.get(name.casefold())
        line["state"] = begun.state if done and begun else self._state_of(source)
        content = json.dumps(line).encode("ascii") + b"\n"
        self._learn(content)
        try:
            with open(self._path, "a+b", buffering=0) as file:
                if file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                    content = b"\n" + content  # a line that was cut off ends here
                if file.write(content) < len(content):
                    raise OSError("no space left")
        except OSError as error:
            raise FileAccessError(f"{self._path}: cannot be written ({error.strerror or error})") from error

    def _learn(self, line: bytes) -> None:
        try:
            form = json.loads(line)
            name, source, pages = str(form["name"]), str(form["input"]), form["pages"]
            formats = [each for each in form["formats"] if each in TEXTS or each in KINDS]
            done, state = bool(form["done"]), form.get("state")
        except (ValueError, KeyError, TypeError):
            return
        document = self._documents.setdefault(name.casefold(), _Document(source, state))
        if document.source != source or document.state != state:
            self._documents[name.casefold()] = document = _Document(source, state)
        self._owners |= dict.fromkeys(files_named(name, formats), source)
        for each in formats:
            document.done.pop(each, None)
            if done:
                document.done[each] = pages

    def _state_of(self, source: str) -> list[int] | None:
        """Size and time of change of a source's file, or of the archive that it lies in."""
        if source == STDIN or is_url(source):
            return None
        for path in (self._root / source, *(self._root / source).parents):
            try:
                found = path.stat()
            except (OSError, ValueError):
                continue
            return [found.st_size, found.st_mtime_ns] if path.is_file() else None
        return None

    def _is_ours(self, place: str) -> bool:
        named = place in (".", MANIFEST, RECORD) or _pattern(place) in self._owners
        return named or any(f"{folder}/" in self._owners for folder in (place, *_parents(place)))

    def _places(self, path: str | os.PathLike[str]) -> set[str]:
        """Where a path lies in the folder, and what it leads to if it is a link, in small letters; none elsewhere."""
        folder, last = os.path.split(os.fspath(path))
        lead = (Path(os.path.realpath(path)), Path(os.path.realpath(folder), last))
        return {each.relative_to(self._root).as_posix().casefold() for each in lead if each.is_relative_to(self._root)}


def _parents(place: str) -> list[str]:
    """The folders that a place lies in."""
    parts = place.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _pattern(place: str) -> str:
    """With * for the numbers that a form gives to its files."""
    return _NUMBERED.sub(r"*\1", place)


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError:
        return []
