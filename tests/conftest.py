"""What tests of several rooms need: a checkpoint that loads in no time, PDFs, and a model that takes dictation."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.resources import files
from itertools import chain, count, repeat
from pathlib import Path

import pytest
from hypothesis import settings
from written_pdfs import write_pdf

from dsocr.kernels.library import LEVELS, cpu_features, load

# How long an example takes says more about who else is busy than about the code.
settings.register_profile("patient", deadline=None, max_examples=50)
settings.load_profile("patient")

MICRO = Path(__file__).parent / "golden" / "micro"


with suppress(ValueError):  # only in the main thread
    # What runs in the background of a shell inherits that Ctrl-C is ignored; here it is tested.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=[level for level in LEVELS if level.features <= cpu_features()], ids=lambda level: level.name)
def library(request, monkeypatch):
    """The compiled core of every instruction set that this machine can run, one after another, where decoders ask for it."""
    loaded = load(request.param)
    for module in ("decoder_core", "learned_rows", "quantise", "twelve"):
        monkeypatch.setattr(f"dsocr.kernels.{module}.core", lambda: loaded)
    return loaded


@pytest.fixture
def make_pdf() -> Callable[..., bytes]:
    return write_pdf


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A folder with the micro weights and nano's tokenizer, which has the image token under a number of its own."""
    folder = tmp_path_factory.mktemp("checkpoint")
    fields = json.loads((MICRO / "config.json").read_text())
    del fields["image_token_id"]
    (folder / "config.json").write_text(json.dumps(fields))
    shutil.copy(MICRO / "model.safetensors", folder)
    (folder / "tokenizer.json").write_bytes((files("dsocr") / "nano" / "tokenizer.json").read_bytes())
    return folder


@pytest.fixture(scope="session")
def caches(tmp_path_factory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("caches")
    return (root / str(number) for number in count())


@pytest.fixture(autouse=True)
def own_cache(caches, monkeypatch) -> None:
    """No test finds the pages of another one, or of whoever runs the tests."""
    monkeypatch.setenv("DSOCR_CACHE", str(next(caches)))


class Dictation:
    """Stands where the engine does and writes a given text for each page, the last one again and again.

    An exception in place of a text comes where the text would: when the page is read.
    """

    def __init__(self, texts: tuple[str | BaseException, ...], finish_reason: str) -> None:
        self._texts = chain(texts, repeat(texts[-1]))
        self._finish_reason = finish_reason

    def stream(self, request) -> Iterator:
        return self._write(next(self._texts))

    def _write(self, text: str | BaseException) -> Iterator:
        from dsocr.engine.request import Delta

        if isinstance(text, BaseException):
            raise text
        yield from (Delta(letter, (7,)) for letter in text)
        yield Delta("", (), self._finish_reason)


@pytest.fixture
def dictate(monkeypatch):
    """`dictate("page one", "page two")`: what every reader writes from now on; an exception is raised."""
    from dsocr.ocr import OCR

    def dictate(*texts: str | BaseException, finish_reason: str = "stop") -> None:
        monkeypatch.setattr(OCR, "engine", Dictation(texts, finish_reason))

    return dictate
