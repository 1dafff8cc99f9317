"""Where the answers go: Markdown streamed to one place, or a set of files for each document, written whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from glob import escape
from itertools import chain, count
from pathlib import Path

from dsocr.document import SKIPPED, Document, OutputFile, StreamingMarkdown, Transcript, figure_files, text_file
from dsocr.document.to_markdown import IMAGES_DIR
from dsocr.errors import FileAccessError, InputError
from dsocr.jobs.forms import ENDINGS, KINDS, MARKDOWN, OFFICIAL, TEXTS, WITH_FIGURES, Beside, Form, Wishes
from dsocr.jobs.whole import clear_leftovers, write_whole

AGAIN = "<!-- what stands above repeats itself; the page was read again, and all of its text stands below -->"
_NAME_BYTES = 200
_DEFAULT = Wishes()


def parse_formats(names: str) -> tuple[str, ...]:
    """`md,json` → ("md", "json"); InputError for a format that does not exist."""
    known = (*TEXTS, *KINDS)
    formats = tuple(dict.fromkeys(name.strip() for name in names.split(",")))
    for name in formats:
        if name not in known:
            raise InputError(f"format {name!r} is unknown; known: {', '.join(known)}")
    return formats


class Printer:
    """Everything to one stream; Markdown alone comes as it is written, other forms when a document is read."""

    def __init__(self, formats: tuple[str, ...], write: Callable[[str], None], wishes: Wishes = _DEFAULT) -> None:
        """`write` takes text; what is more than one text cannot go there."""
        for name in formats:
            if name not in TEXTS:
                raise InputError(f"format {name!r} needs a folder: add -o DIR")
        self._formats, self._wishes = formats, wishes
        self._write = write
        # What a page break has cut is known only when the next page is.
        self._streams = formats == (MARKDOWN,) and not wishes.join
        self._figures: list[OutputFile] = []
        self._markdown: StreamingMarkdown | None = None
        self._begun = False

    def choose_name(self, source: str) -> str:
        """Documents of a stream have no names."""
        return source

    def is_written(self, name: str) -> bool:
        """What has been printed is gone."""
        return False

    def begin_document(self, source: str, name: str | None = None) -> None:
        """A document starts; its name is not shown."""

    def begin_page(self, page: int, width: int, height: int, labels_are_text: bool) -> None:
        """A page starts: what has been shown is marked off from it."""
        if self._streams and self._begun:
            self._write(self._wishes.style.page_separator)
        self._begun = True
        # A stream has no folder beside it for figures.
        self._start = partial(StreamingMarkdown, page, width, height, None, labels_are_text, self._wishes.style)
        self._markdown = self._start()

    def begin_again(self) -> None:
        """What was shown cannot be taken back; a comment says that it is void."""
        if self._streams and self._markdown:
            self._write(f"{self._markdown.close()}\n\n{AGAIN}\n\n")
            self._markdown = self._start()

    def add(self, text: str) -> None:
        """More of the page's text."""
        if self._streams and self._markdown:
            self._write(self._markdown.feed(text))

    def end_page(self, transcript: Transcript) -> None:
        """The page is read."""
        if self._streams and self._markdown:
            self._write(self._markdown.close(transcript.status, transcript.reason))
        if WITH_FIGURES & set(self._formats) and transcript.image is not None:
            self._figures += figure_files(transcript)

    def end_document(self, document: Document) -> None:
        """All pages are read."""
        if self._streams:
            self._write("\n")
            return
        beside, self._figures = Beside(None, tuple(self._figures)), []
        for name in self._formats:
            self._write(TEXTS[name](document, self._wishes, beside) + "\n")


class Folder:
    """NAME.md, NAME.json, … in a folder, with images/NAME/ for figures, and the files of forms that have several."""

    def __init__(self, root: Path, formats: tuple[str, ...], wishes: Wishes = _DEFAULT) -> None:
        """Makes the folder; FileAccessError if that is not allowed."""
        self._root, self._formats, self._wishes = root, formats, wishes
        # The published file set has a folder of the document's name, and figures have theirs.
        self._taken: set[str] = {IMAGES_DIR} if OFFICIAL in formats else set()
        self._place, self._name = root, ""
        self._forms: dict[str, Form] = {}
        self._figures: list[OutputFile] = []
        with _writing(root):
            root.mkdir(parents=True, exist_ok=True)
            clear_leftovers(root)

    def choose_name(self, source: str) -> str:
        """That of the document's file, with its suffix where two files differ in nothing else; no other gets it.

        Folders before it, divided by /, are kept: answers lie as the documents do.
        """
        *folders, last = source.split("/")
        place = "".join(f"{_shortened(folder)}/" for folder in folders if folder.strip("."))
        path = Path(_shortened(last))
        numbered = (f"{path.name}-{number}" for number in count(2))
        # On many disks A.md and a.md are one file; a name of dots is a folder.
        names = (place + name for name in chain((path.stem, path.name), numbered) if name.strip("."))
        name = next(name for name in names if name.casefold() not in self._taken)
        self._taken.add(name.casefold())
        return name

    def is_written(self, name: str) -> bool:
        """Whether all forms of a document are there, and no interruption cut it short."""
        place, name = self._root / Path(name).parent, Path(name).name
        texts = [place / f"{name}.{ENDINGS[form]}" for form in self._formats if form in TEXTS]
        traces = [KINDS[form].trace.format(escape(name)) for form in self._formats if form in KINDS]
        there = all(path.is_file() for path in texts) and all(any(place.glob(trace)) for trace in traces)
        return there and not (place / _mark(name)).exists()

    def begin_document(self, source: str, name: str | None = None) -> None:
        """A document starts, under a name that was chosen before or is chosen now."""
        path = Path(name or self.choose_name(Path(source).name))
        self._place, self._name = self._root / path.parent, path.name
        kinds = {form: KINDS[form] for form in self._formats if form in KINDS}
        self._forms = {form: kind.begin(self._name, self._wishes, source) for form, kind in kinds.items()}
        self._figures = []

    def begin_page(self, page: int, width: int, height: int, labels_are_text: bool) -> None:
        """Files are written when a page is whole."""

    def add(self, text: str) -> None:
        """Files are written when a page is whole."""

    def begin_again(self) -> None:
        """Files are written when a page is whole."""

    def end_page(self, transcript: Transcript) -> None:
        """Write what needs the page's picture: figures, and pages of other forms; keep those that texts hold."""
        figures = list(figure_files(transcript)) if {MARKDOWN, *WITH_FIGURES} & set(self._formats) else []
        if WITH_FIGURES & set(self._formats):
            self._figures += figures
        if MARKDOWN in self._formats:
            for figure in figures:
                self._save(f"{IMAGES_DIR}/{self._name}/{figure.name}", figure.content)
        for form in self._forms.values():
            for file in form.add(transcript):
                self._save(file.name, file.content)

    def end_document(self, document: Document) -> None:
        """Write all that is left, and a mark beside it if an interruption cut it short.

        A form that cannot be written costs no other one: what is wrong with it is raised when all are done.
        """
        cut_short = any(transcript.status == SKIPPED for transcript in document.transcripts)
        if cut_short:
            self._save(_mark(self._name), b"")
        wrong: list[InputError] = []
        for name in self._formats:
            try:
                for file in self._last_files(name, document):
                    self._save(file.name, file.content)
            except InputError as error:
                wrong.append(error)
        if wrong:
            raise wrong[0]
        if not cut_short:
            with _writing(self._place):
                (self._place / _mark(self._name)).unlink(missing_ok=True)

    def _last_files(self, form: str, document: Document) -> Iterator[OutputFile]:
        if form in TEXTS:
            beside = Beside(f"{IMAGES_DIR}/{self._name}", tuple(self._figures))
            yield text_file(f"{self._name}.{ENDINGS[form]}", TEXTS[form](document, self._wishes, beside))
        else:
            yield from self._forms[form].end(document)

    def _save(self, name: str, content: bytes) -> None:
        path = self._place / name
        with _writing(path):
            write_whole(path, content)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turns what a disk says into one line about the file."""
    try:
        yield
    except OSError as error:
        raise FileAccessError(f"{path}: cannot be written ({error.strerror or error})") from error


def _mark(name: str) -> str:
    """The file that stands beside the answers of a document that was interrupted."""
    return f".{name}.unfinished"


def _shortened(name: str) -> str:
    """A file name that leaves room for an ending: most disks hold 255 bytes."""
    stem, suffix = os.path.splitext(name)
    while len(os.fsencode(stem)) > _NAME_BYTES:
        stem = stem[:-1]
    return stem + suffix
