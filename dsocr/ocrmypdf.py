"""A plugin for OCRmyPDF: `ocrmypdf --plugin dsocr.ocrmypdf in.pdf out.pdf` has this model read the pages."""

from __future__ import annotations

import inspect
import logging
import shutil
import sys
import threading
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy
from ocrmypdf import hookimpl, pluginspec
from ocrmypdf.exceptions import BadArgsError
from ocrmypdf.pluginspec import OcrEngine, OrientationConfidence

from dsocr.document import BLANK, OK, Document, Transcript, to_text
from dsocr.document.plain_text import plain_lines
from dsocr.document.to_hocr import to_hocr
from dsocr.document.to_pdf import to_pdf
from dsocr.document.words import Frame, TextBlock, TextLine, lay_out
from dsocr.errors import InputError
from dsocr.version import __version__

if TYPE_CHECKING:
    from dsocr.ocr import OCR, Options

with suppress(ImportError):  # Up to version 16, nobody asks for elements.
    from ocrmypdf.models.ocr_element import BoundingBox, OcrClass, OcrElement

_TESSERACT = "ocrmypdf.builtin_plugins.tesseract_ocr"
# From version 17 on, OCRmyPDF says with which options it wants an engine; before, it refuses a hook that asks for them.
_TELLS_OPTIONS = "options" in inspect.signature(pluginspec.get_ocr_engine).parameters
_LOADING = threading.Lock()

log = logging.getLogger(__name__)


@hookimpl
def initialize(plugin_manager: pluggy.PluginManager) -> None:
    """Where Tesseract is not installed, OCRmyPDF must not ask for it."""
    if _TELLS_OPTIONS and shutil.which("tesseract") is None:
        plugin_manager.set_blocked(_TESSERACT)


@hookimpl
def register_options() -> dict[str, Any]:
    """OCRmyPDF looks at Tesseract's options even where Tesseract is blocked."""
    if shutil.which("tesseract") is not None:
        return {}
    from ocrmypdf.builtin_plugins.tesseract_ocr import TesseractOptions

    return {"tesseract": TesseractOptions}


@hookimpl
def add_options(parser: ArgumentParser) -> None:
    """What `dsocr read` has as --model, --mode and --prompt."""
    group = parser.add_argument_group("dsocr", "Reading with DeepSeek-OCR")
    group.add_argument("--dsocr-model", metavar="NAME", help="nano, a folder or a hub name, as for dsocr read --model")
    group.add_argument("--dsocr-mode", metavar="MODE", help="how closely to look, as for dsocr read --mode")
    group.add_argument("--dsocr-prompt", metavar="PROMPT", help="what to ask for, as for dsocr read --prompt")


@hookimpl
def check_options(options: Any) -> None:
    """Bad options end the run before a page is drawn. Pages are read by threads: processes would all load the model."""
    if _is_chosen(options):
        options.use_threads = True
        with _in_its_words():
            _asked(options).check()


if _TELLS_OPTIONS:

    @hookimpl
    def get_ocr_engine(options: Any) -> OcrEngine | None:
        """This engine, unless --ocr-engine names another."""
        return Engine() if _is_chosen(options) else None

else:

    @hookimpl
    def get_ocr_engine() -> OcrEngine | None:  # type: ignore[misc]
        """This engine."""
        return Engine()


class Engine(OcrEngine):
    """What OCRmyPDF asks of an engine: a page's picture in, its words and their places out."""

    @staticmethod
    def version() -> str:
        """The version of dsocr."""
        return __version__

    @staticmethod
    def creator_tag(options: Any) -> str:
        """What the PDF says it was read with."""
        return f"dsocr {__version__}"

    def __str__(self) -> str:
        return f"dsocr {__version__}"

    @staticmethod
    def languages(options: Any) -> set[str]:
        """Whatever is asked for: the model is not told a language."""
        return set(options.languages)

    @staticmethod
    def get_orientation(input_file: Path, options: Any) -> OrientationConfidence:
        """Unknown: the page stays as it is."""
        return OrientationConfidence(angle=0, confidence=0.0)

    @staticmethod
    def get_deskew(input_file: Path, options: Any) -> float:
        """Unknown: the page stays as it is."""
        return 0.0

    @staticmethod
    def supports_generate_ocr() -> bool:
        """Whether words are given as they are, without a file between."""
        return True

    @staticmethod
    def generate_ocr(input_file: Path, options: Any, page_number: int = 0) -> tuple[OcrElement, str]:
        """The page as OCRmyPDF's tree of elements, and its plain text; page_number counts from 0."""
        transcript = _read(input_file, options)
        return _as_element(transcript, page_number), _plain_text(transcript)

    @staticmethod
    def generate_hocr(input_file: Path, output_hocr: Path, output_text: Path, options: Any) -> None:
        """The page as a hOCR file and its plain text as another."""
        transcript = _read(input_file, options)
        output_hocr.write_text(to_hocr(Document(str(input_file), (transcript,))), encoding="utf-8")
        output_text.write_text(_plain_text(transcript), encoding="utf-8")

    @staticmethod
    def generate_pdf(input_file: Path, output_pdf: Path, output_text: Path, options: Any) -> None:
        """The page's text as a PDF of the page's size that shows nothing, and as a file."""
        transcript = _read(input_file, options)
        output_pdf.write_bytes(to_pdf(Document(str(input_file), (transcript,))))
        output_text.write_text(_plain_text(transcript), encoding="utf-8")


def _is_chosen(options: Any) -> bool:
    return getattr(options, "ocr_engine", "auto") == "auto"


def _read(input_file: Path, options: Any) -> Transcript:
    with _in_its_words():
        (reading,) = _reader(options).readings(input_file, _asked(options))
        transcript = reading.transcript(keep_image=False)
    if transcript.status not in (OK, BLANK):
        log.warning("%s: %s", transcript.status, transcript.reason)
    return transcript


def _reader(options: Any) -> OCR:
    with _LOADING:  # the first page's thread loads, the others' wait
        return _load(getattr(options, "dsocr_model", None))


@cache  # OCRmyPDF makes an engine for each page: what is loaded must outlive it.
def _load(name: str | None) -> OCR:
    from dsocr.ocr import load

    return load(name)


def _asked(options: Any) -> Options:
    """The mode and the prompt that were asked for, the usual ones else."""
    from dsocr.ocr import Options  # torch takes seconds, and `ocrmypdf --help` does not need it

    named = {field: getattr(options, f"dsocr_{field}", None) for field in ("mode", "prompt")}
    # How many pixels are too many, OCRmyPDF has asked before.
    return Options(**{field: value for field, value in named.items() if value is not None}, max_pixels=sys.maxsize)


def _plain_text(transcript: Transcript) -> str:
    return "\n".join(plain_lines(to_text(transcript)))


def _as_element(transcript: Transcript, page_number: int) -> OcrElement:
    frame = Frame(0, 0, transcript.width, transcript.height)
    blocks = [_block_element(block) for block in lay_out(transcript) if block.lines]
    return OcrElement(OcrClass.PAGE, _bounds(frame), children=blocks, dpi=transcript.dpi, page_number=page_number)


def _block_element(block: TextBlock) -> OcrElement:
    lines = [_line_element(line) for line in block.lines]
    return OcrElement(OcrClass.PARAGRAPH, _bounds(block.frame), children=lines, direction=lines[0].direction)


def _line_element(line: TextLine) -> OcrElement:
    words = [OcrElement(OcrClass.WORD, _bounds(word.frame), text=word.text) for word in line.words]
    return OcrElement(
        OcrClass.LINE, _bounds(line.frame), children=words, direction="rtl" if line.right_to_left else "ltr"
    )


def _bounds(frame: Frame) -> BoundingBox:
    return BoundingBox(frame.left, frame.top, frame.right, frame.bottom)


@contextmanager
def _in_its_words() -> Iterator[None]:
    """OCRmyPDF shows its own errors as a line and ends with their exit code; all others come as a traceback."""
    try:
        yield
    except InputError as error:
        raise BadArgsError(str(error)) from error
