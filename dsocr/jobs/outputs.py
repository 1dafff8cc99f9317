"""Where the answers go: Markdown streamed to one place, or a set of files for each document, written whole."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from glob import escape
from itertools import chain, count
from pathlib import Path

from dsocr.document import SKIPPED, Document, OutputFile, StreamingMarkdown, Transcript, figure_files, text_file
from dsocr.document.to_markdown import IMAGES_DIR
from dsocr.errors import FileAccessError, InputError
from dsocr.jobs.answers import Answers, files_named, identify
from dsocr.jobs.forms import ENDINGS, KINDS, MARKDOWN, OFFICIAL, TEXTS, WITH_FIGURES, Beside, Form, Wishes
from dsocr.jobs.whole import clear_leftovers, write_whole
from dsocr.pages.inputs import STDIN

AGAIN = "<!-- what stands above is void: the page was read again, and all of its text stands below -->"
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
    """Everything to one stream: Markdown alone page by page, other forms when a document is read."""

    def __init__(
        self, formats: tuple[str, ...], write: Callable[[str], None], wishes: Wishes = _DEFAULT, *, live: bool = True
    ) -> None:
        """`write` takes text; what is more than one text cannot go there.

        live: Markdown comes as it is written, for somebody to look at; else a page comes when it is whole, so that
        none is there twice that was read again.
        """
        for name in formats:
            if name not in TEXTS:
                raise InputError(f"format {name!r} needs a folder: add -o DIR")
        self._formats, self._wishes = formats, wishes
        self._write = write
        self._live, self._held = live, list[str]()  # the page so far
        # What a page break has cut is known only when the next page is.
        self._streams = formats == (MARKDOWN,) and not wishes.join
        self._figures: list[OutputFile] = []
        self._markdown: StreamingMarkdown | None = None  # of the page that has begun and not ended
        self._ended = 0  # pages of the document
        self._shown, self._mark = False, ""

    def choose_name(self, name: str, source: str | os.PathLike[str] | None = None) -> str:
        """Documents of a stream have no names."""
        return name

    def is_written(self, name: str) -> bool:
        """What has been printed is gone."""
        return False

    def begin_document(self, source: str, name: str | None = None) -> None:
        """A document starts; its name is not shown."""
        self._ended = 0

    def begin_page(self, page: int, width: int, height: int, labels_are_text: bool) -> None:
        """A page starts: the first that is shown of it will be marked off from what was shown before."""
        self._mark = self._wishes.style.page_separator if self._shown else ""
        self._held.clear()
        # A stream has no folder beside it for figures.
        self._start = partial(StreamingMarkdown, page, width, height, None, labels_are_text, self._wishes.style)
        self._markdown = self._start()

    def begin_again(self) -> None:
        """What was shown already is wiped off the screen; where it cannot be, a comment says that it is void."""
        if self._streams and self._markdown:
            void = self._markdown.close()
            if self._live:
                self._show(wiping("".join(self._held)) or f"{void}\n\n{AGAIN}\n\n")
            self._held.clear()
            self._markdown = self._start()

    def add(self, text: str) -> None:
        """More of the page's text."""
        if self._streams and self._markdown:
            self._held.append(self._markdown.feed(text))
            if self._live and self._held[-1]:
                self._show(self._held[-1])

    def end_page(self, transcript: Transcript) -> None:
        """The page is read."""
        if self._streams and self._markdown:
            shown = [] if self._live else self._held
            rest = self._markdown.close(transcript.status, transcript.reason)
            self._markdown, self._ended = None, self._ended + 1
            self._show("".join([*shown, rest]))
        if WITH_FIGURES & set(self._formats) and transcript.image is not None:
            self._figures += figure_files(transcript)

    def end_document(self, document: Document) -> None:
        """All pages are read; those that were never given page by page, as after Ctrl-C, are told of now."""
        if self._streams:
            for transcript in document.transcripts[self._ended :]:
                if not (self._markdown and self._live):  # else its beginning has been shown
                    self.begin_page(transcript.page, transcript.width, transcript.height, transcript.labels_are_text)
                self.end_page(transcript)
            self._write("\n")
            return
        beside, self._figures = Beside(None, tuple(self._figures)), []
        for name in self._formats:
            self._write(TEXTS[name](document, self._wishes, beside) + "\n")

    def _show(self, text: str) -> None:
        mark, self._mark, self._shown = self._mark, "", True
        self._write(mark + text)


def wiping(shown: str) -> str:
    """What makes a terminal forget a text that it has just been shown, from a line's beginning on.

    Empty where there is no such terminal, or part of the text has left the screen.
    """
    if "\t" in shown or not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return ""
    columns, rows = shutil.get_terminal_size()
    wide = [sum(map(_cells, line)) for line in shown.split("\n")]
    up = sum(max(1, -(-cells // columns)) for cells in wide) - 1
    return f"\r\x1b[{up}A\x1b[J" if 0 < up < rows else "\r\x1b[J" if not up else ""


def _cells(character: str) -> int:
    """How many columns of a terminal a character takes."""
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


class Folder:
    """NAME.md, NAME.json, … in a folder, with images/NAME/ for figures, and the files of forms that have several."""

    def __init__(
        self, root: Path, formats: tuple[str, ...], wishes: Wishes = _DEFAULT, pages: str | None = None
    ) -> None:
        """Makes the folder; FileAccessError if that is not allowed. pages: those asked for of each document."""
        self._root, self._formats, self._wishes, self._pages = root, formats, wishes, pages
        # The published file set has a folder of the document's name, and figures have theirs.
        self._taken: set[str] = {IMAGES_DIR} if OFFICIAL in formats else set()
        self._sources: dict[str, str] = {}
        self._place, self._name, self._full_name = root, "", ""
        self._forms: dict[str, Form] = {}
        self._figures: list[OutputFile] = []
        self._wrong: list[InputError] = []
        self._used: set[str] = set()
        self._any_whole = False  # a document, with all its pages
        with _writing(root):
            root.mkdir(parents=True, exist_ok=True)
            clear_leftovers(root)
        self.answers = Answers(root)

    def choose_name(self, name: str, source: str | os.PathLike[str] | None = None) -> str:
        """That of the document's file, with its suffix where two files differ in nothing else; no other gets it.

        Folders before it, divided by /, are kept: answers lie as the documents do. No file of that name is an input of
        this run, or the answer of another source from an earlier one.
        """
        *folders, last = name.split("/")
        place = self._place_of([_shortened(folder) for folder in folders if folder.strip(".")])
        path, source = Path(_shortened(last)), identify(source or name, self._root)
        numbered = (f"{path.name}-{number}" for number in count(2))
        # A name of dots is a folder.
        names = (place + each for each in chain((path.stem, path.name), numbered) if each.strip("."))
        name = next(each for each in names if self._is_free(each, source))
        self._taken |= files_named(name, self._formats)
        self._sources[name] = source
        return name

    def _place_of(self, folders: list[str]) -> str:
        """The folders for a document, such as scans/; where a file has that name, as an archive has, with a number."""
        place = ""
        for folder in folders:
            names = (folder, *(f"{folder}-{number}" for number in range(2, 100)))
            place += next((each for each in names if not (self._root / place / each).is_file()), folder) + "/"
        return place

    def _is_free(self, name: str, source: str) -> bool:
        # On many disks A.md and a.md are one file.
        taken = self._taken & files_named(name, self._formats)
        return not taken and self.answers.is_free(name, source, self._formats)

    def is_written(self, name: str) -> bool:
        """Whether the pages that are asked for are there in all forms, read from this source and written to the end."""
        source = self._sources[name]
        if source == STDIN or not self.answers.is_done(name, source, self._formats, self._pages):
            return False
        traces = [KINDS[form].trace for form in self._formats if form in KINDS and not KINDS[form].needs]
        traces += [f"{{}}.{ENDINGS[form]}" for form in self._formats if form in TEXTS]
        return all(any(self._root.glob(trace.format(escape(name)))) for trace in traces)

    def begin_document(self, source: str, name: str | None = None) -> None:
        """A document starts, under a name that was chosen before or is chosen now."""
        self._full_name = name or self.choose_name(Path(source).name, source)
        path = Path(self._full_name)
        self._place, self._name = self._root / path.parent, path.name
        kinds = {form: KINDS[form] for form in self._formats if form in KINDS}
        self._figures, self._wrong = [], []
        self._note(done=False)
        self._forms = {form: kind.begin(self._name, self._wishes, source) for form, kind in kinds.items()}

    def begin_page(self, page: int, width: int, height: int, labels_are_text: bool) -> None:
        """Files are written when a page is whole."""

    def add(self, text: str) -> None:
        """Files are written when a page is whole."""

    def begin_again(self) -> None:
        """Files are written when a page is whole."""

    def end_page(self, transcript: Transcript) -> None:
        """Write what needs the page's picture: figures, and pages of other forms; keep those that texts hold."""
        with self._going_on():
            figures = list(figure_files(transcript)) if {MARKDOWN, *WITH_FIGURES} & set(self._formats) else []
            if WITH_FIGURES & set(self._formats):
                self._figures += figures
            if MARKDOWN in self._formats:
                for figure in figures:
                    self._save(f"{IMAGES_DIR}/{self._name}/{figure.name}", figure.content)
        for name, form in self._forms.items():
            with self._going_on():
                for file in form.add(transcript):
                    self._used.add(name)
                    self._save(file.name, file.content)

    def end_document(self, document: Document) -> None:
        """Write all that is left.

        What cannot be written, of this page or another, costs nothing else: the first such thing is raised at the end.
        """
        for name in self._formats:
            with self._going_on():
                for file in self._last_files(name, document):
                    self._used.add(name)
                    self._save(file.name, file.content)
        cut_short = any(transcript.status == SKIPPED for transcript in document.transcripts)
        self._any_whole = self._any_whole or not cut_short
        if not cut_short and not self._wrong:
            self._note(done=True)
        if self._wrong:
            raise self._wrong[0]

    def show_unused(self) -> str | None:
        """The forms that no document of this run had anything for, in words."""
        unused = [form for form in self._formats if form in KINDS and KINDS[form].needs and form not in self._used]
        listed = ", ".join(f"{form} (no {KINDS[form].needs})" for form in unused)
        return f"nothing to write: {listed}" if unused and self._any_whole else None

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            self._wrong.append(error)

    def _note(self, *, done: bool) -> None:
        with self._going_on():
            source = self._sources[self._full_name]
            self.answers.note(self._full_name, source, self._formats, self._pages, done=done)

    def _last_files(self, form: str, document: Document) -> Iterator[OutputFile]:
        if form in TEXTS:
            beside = Beside(f"{IMAGES_DIR}/{self._name}", tuple(self._figures))
            yield text_file(f"{self._name}.{ENDINGS[form]}", TEXTS[form](document, self._wishes, beside))
        else:
            yield from self._forms[form].end(document)

    def _save(self, name: str, content: bytes) -> None:
        path = self._place / name
        if self.answers.is_input(path):
            raise FileAccessError(f"{path}: not written, as it is one of the files that are read")
        with _writing(path):
            write_whole(path, content)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turns what a disk says into one line about the file."""
    try:
        yield
    except OSError as error:
        raise FileAccessError(f"{path}: cannot be written ({error.strerror or error})") from error


def _shortened(name: str) -> str:
    """A file name that leaves room for an ending: most disks hold 255 bytes."""
    stem, suffix = os.path.splitext(name)
    while len(os.fsencode(stem)) > _NAME_BYTES:
        stem = stem[:-1]
    return stem + suffix
