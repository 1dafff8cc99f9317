"""The front door: one page's whole way through the house, in one file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image

from dsocr.document.blocks import FAILED, OK, TRUNCATED, Document, Transcript
from dsocr.document.grounding import parse
from dsocr.engine.engine import Engine
from dsocr.engine.request import Delta, FinishReason, Generation, Request, Sampling
from dsocr.errors import InputError
from dsocr.model.checkpoint import default_checkpoint, find_checkpoint
from dsocr.model.config import read_config
from dsocr.model.network import Network
from dsocr.model.tokenizer import Tokenizer
from dsocr.model.weights import load_network, stored_bytes
from dsocr.pages import DEFAULT_DPI, DEFAULT_MAX_PIXELS, BrokenPage, Mode, Page, Source, get_mode, open_pages
from dsocr.pages.inputs import STDIN, files_of, show
from dsocr.pages.tiling import make_views
from dsocr.prompts import IMAGE, labels_are_text, resolve_prompt
from dsocr.views import Views

DEFAULT_MODE = "gundam"
DEVICES = ("cpu", "cuda", "mps")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_ENDINGS: dict[FinishReason, tuple[str, str | None]] = {
    "stop": (OK, None),
    "length": (TRUNCATED, "the limit of new tokens was reached"),
    "context": (TRUNCATED, "the model's context is full"),
}
_SMALL = 256 * 2**20  # bytes; up to here a checkpoint is widened to float32 on a CPU, which is faster and exact


def load(name_or_dir: str | Path | None = None, device: str = "auto", dtype: str = "auto") -> OCR:
    """A reader: `nano`, a folder, or a hub name; None takes the published checkpoint if it is here, else nano.

    device: auto (CUDA, else MPS, else CPU) or a torch device; dtype: auto, float32, bfloat16 or float16. On a CPU,
    auto keeps a large checkpoint as it is stored, mapped into memory and not copied. Raises InputError.
    """
    where, asked = _choose_device(device), _check_dtype(dtype)  # before anything is downloaded
    folder = find_checkpoint(str(name_or_dir) if name_or_dir is not None else default_checkpoint())
    config = read_config(folder)
    file = folder / "tokenizer.json"
    # Without a tokenizer a network still computes; what needs text says so when it is asked.
    tokenizer = Tokenizer(file) if file.exists() or config.image_token_id is None else None
    if tokenizer and config.image_token_id not in (None, tokenizer.image):
        raise InputError(f"{file} has {IMAGE} at {tokenizer.image}, config.json at {config.image_token_id}")
    image_token_id = tokenizer.image if tokenizer else config.image_token_id
    assert image_token_id is not None
    kept = _choose_dtype(where, folder) if asked is None else asked
    try:
        network = load_network(folder, config, image_token_id, device=where, dtype=kept)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(f"{folder} does not fit into the memory of {where}; try --dtype bfloat16, or cpu") from None
    return OCR(network, tokenizer, folder)


@dataclass(frozen=True)
class Options:
    """How pages are opened and read; OCR.read says what each means."""

    mode: str = DEFAULT_MODE
    prompt: str = "document"
    pages: str | None = None
    dpi: float = DEFAULT_DPI
    password: str | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS
    sampling: Sampling | None = None

    def check(self) -> None:
        """InputError for options that no page could be read with; asked before a model is loaded in vain."""
        get_mode(self.mode)
        self.full_prompt()
        self.open(b"")  # looks at what is asked for, opens nothing yet

    def full_prompt(self) -> str:
        """The prompt for one page, with its one `<image>`."""
        asked = resolve_prompt(self.prompt)
        if asked.count(IMAGE) != 1:
            raise InputError(
                f"the prompt has {asked.count(IMAGE)} {IMAGE}, but pages are read one by one: write it once"
            )
        return asked

    def open(self, source: Source) -> Iterator[Page | BrokenPage]:
        """The pages that are asked for."""
        return open_pages(source, pages=self.pages, dpi=self.dpi, password=self.password, max_pixels=self.max_pixels)


class OCR:
    """A checkpoint that reads: pages in, a Document out."""

    def __init__(self, network: Network, tokenizer: Tokenizer | None, source: Path | None = None) -> None:
        """The network on its device and the tokenizer that goes with it; `source` is named where one is missing."""
        self.network = network
        self._tokenizer = tokenizer
        self._source = source

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to ids and back; InputError when the checkpoint came without one."""
        if self._tokenizer is None:
            raise InputError(f"{self._source} has no tokenizer.json: it can compute, but not read")
        return self._tokenizer

    @cached_property
    def engine(self) -> Engine:
        """What runs the network for requests."""
        return Engine(self.network, self.tokenizer)

    def views(self, image: Source, mode: str = DEFAULT_MODE) -> Views:
        """What the network is shown of a page: of an image, or of the first page of a file."""
        page = next(open_pages(image))
        if isinstance(page, BrokenPage):
            raise InputError(f"{page.source} page {page.number}: {page.reason}")
        return make_views(page.image, get_mode(mode))

    def read(
        self,
        source: Source,
        mode: str = DEFAULT_MODE,
        prompt: str = "document",
        pages: str | None = None,
        *,
        dpi: float = DEFAULT_DPI,
        password: str | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        sampling: Sampling | None = None,
        keep_images: bool = True,
    ) -> Document:
        """Read a file, bytes or an image whole; every page of it has a Transcript with a status.

        mode: one of dsocr.MODES.
        prompt: a name of dsocr.prompts, `locate:TEXT`, or any text. pages: such as "1-3,7,10-", from 1. dpi and
        password are for PDFs. keep_images False lets go of each page's picture when it has been read: figures and
        layout pictures can then not be cut from the Document. Raises InputError for what cannot be read at all.
        """
        options = Options(mode, prompt, pages, dpi, password, max_pixels, sampling)
        readings = self.readings(source, options)
        transcripts = [reading.transcript(keep_image=keep_images) for reading in readings]
        return Document(_name(source), tuple(transcripts))

    def stream(
        self,
        source: Source,
        mode: str = DEFAULT_MODE,
        prompt: str = "document",
        pages: str | None = None,
        *,
        dpi: float = DEFAULT_DPI,
        password: str | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        sampling: Sampling | None = None,
    ) -> Iterator[Delta]:
        """The same, as it is written: deltas with their page's number, the last of each page with a finish reason.

        A page that cannot be shown has no deltas; who wants to know of it takes the `readings`.
        """
        options = Options(mode, prompt, pages, dpi, password, max_pixels, sampling)
        return (delta for reading in self.readings(source, options) for delta in reading)

    def readings(self, source: Source, options: Options) -> Iterator[Reading]:
        """One Reading for each page, in order; the next page is opened when the one before has been read."""
        _refuse_folder(source)
        prompt, mode = options.full_prompt(), get_mode(options.mode)
        return (self._begin(page, prompt, mode, options.sampling) for page in options.open(source))

    def ask(
        self,
        prompt: str,
        images: tuple[Source, ...] = (),
        mode: str = DEFAULT_MODE,
        sampling: Sampling | None = None,
    ) -> Generation:
        """One answer to a prompt about no image, one, or several: each `<image>` in the prompt stands for one."""
        asked = resolve_prompt(prompt, with_image=bool(images))
        views = tuple(self.views(image, mode) for image in images)
        return self.engine.generate(self._request(asked, views, sampling))

    def _begin(self, page: Page | BrokenPage, asked: str, mode: Mode, sampling: Sampling | None) -> Reading:
        if isinstance(page, BrokenPage):
            return Reading(page, iter(()))
        engine = self.engine
        request = self._request(asked, (make_views(page.image, mode),), sampling)
        try:
            return Reading(page, engine.stream(request), labels_are_text(asked))
        except InputError as error:  # other pages may be smaller: this one must not cost them
            return Reading(BrokenPage(page.source, page.number, str(error)), iter(()))

    def _request(self, prompt: str, views: tuple[Views, ...], sampling: Sampling | None) -> Request:
        ids = self.tokenizer.prompt_ids(prompt, [len(view.layout) for view in views])
        return Request(tuple(ids), views, sampling or Sampling())


class Reading:
    """One page being read: iterate for the deltas, then ask for the transcript."""

    def __init__(self, page: Page | BrokenPage, deltas: Iterator[Delta], labels_are_text: bool = False) -> None:
        """A page and the stream of what is written about it; a broken page has an empty one."""
        self.page = page
        self.labels_are_text = labels_are_text
        self._deltas = deltas
        self._text: list[str] = []
        self._ending: tuple[str, str | None] = (FAILED, "reading was broken off")
        self.tokens = 0

    def __iter__(self) -> Iterator[Delta]:
        """The deltas that have not been taken yet; a page that cannot be read to its end just ends."""
        try:
            for delta in self._deltas:
                self._text.append(delta.text)
                self.tokens += len(delta.ids)
                if delta.finish_reason:
                    self._ending = _ENDINGS[delta.finish_reason]
                yield replace(delta, page=self.page.number)
        except InputError as error:
            self._ending = FAILED, str(error)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            self._ending = FAILED, "it does not fit in memory; choose a smaller mode"

    def transcript(self, *, keep_image: bool = True) -> Transcript:
        """The page as read, to its end; whoever stopped early gets the rest read first."""
        if isinstance(self.page, BrokenPage):
            return Transcript(self.page.number, 0, 0, "", (), FAILED, self.page.reason)
        for _ in self:
            pass
        raw = "".join(self._text)
        status, reason = self._ending
        return Transcript(
            self.page.number,
            *self.page.size,
            raw,
            parse(raw),
            status,
            reason,
            self.page.image if keep_image else None,
            self.labels_are_text,
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is a device's or the machine's way to say that memory has run out."""
    words = str(error).lower()
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or ("memory" in words and "alloc" in words)


def _refuse_folder(source: Source) -> None:
    if isinstance(source, (str, os.PathLike)) and source != STDIN and os.path.isdir(source):
        files_of(source)  # says so where there are no pages in it
        raise InputError(f"{show(source)} is a folder of documents: read its files one by one (dsocr.find_inputs)")


def _name(source: Source) -> str:
    if isinstance(source, Page):
        return source.source
    if isinstance(source, bytes):
        return "bytes"
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "") or "image")
    return "stdin" if source == STDIN else str(source)


def _choose_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        device = None
    if device is None or device.type not in DEVICES:
        raise InputError(f"device {name!r} is not on this machine; known: auto, {', '.join(DEVICES)}")
    return device


def _check_dtype(name: str) -> torch.dtype | None:
    """None: choose one when the device and the size of the checkpoint are known."""
    if name != "auto" and name not in DTYPES:
        raise InputError(f"dtype {name!r} is unknown; known: auto, {', '.join(DTYPES)}")
    return DTYPES.get(name)


def _choose_dtype(device: torch.device, folder: Path) -> torch.dtype | None:
    """None: as it is stored."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "mps":
        return torch.float16
    return torch.float32 if stored_bytes(folder) <= _SMALL else None
