"""The front door: one page's whole way through the house, in one file."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from numbers import Real
from pathlib import Path
from typing import Literal, get_args

import torch
from PIL import Image

from dsocr.document.blocks import Document
from dsocr.engine.engine import DEFAULT_BATCH, Engine
from dsocr.engine.kv_cache import parse_bytes
from dsocr.engine.request import Delta, Generation, Request, Sampling
from dsocr.errors import InputError
from dsocr.model.checkpoint import default_checkpoint, find_checkpoint
from dsocr.model.config import Config, read_config
from dsocr.model.network import Network
from dsocr.model.quantised import BITS, quantise
from dsocr.model.speed import speed_up, widens_encoder
from dsocr.model.tokenizer import Tokenizer
from dsocr.model.weights import load_network, stored_bytes
from dsocr.pages import DEFAULT_DPI, DEFAULT_MAX_PIXELS, BrokenPage, Child, Mode, Page, Source, get_mode, open_pages
from dsocr.pages.inputs import STDIN, files_of, holds_documents, show
from dsocr.pages.sideways import TURNS, choose_turn
from dsocr.pages.tiling import make_views
from dsocr.prompts import IMAGE, labels_are_text, resolve_prompt
from dsocr.reading import (
    AUTO,
    NO_ROOM,
    Opened,
    Rotate,
    Shelf,
    SourceEnd,
    confidence_of,
    is_out_of_memory,
    read_ahead,
    tokens_on_page,
)
from dsocr.reading import Reading as Reading
from dsocr.rescue import Attempt, Rescued, Said, Surest, climb, follow, look_again
from dsocr.views import Views

DEFAULT_MODE = "gundam"
# What becomes of a page that repeats itself: it is read again, or kept as far as it is good, or as it is.
Loops = Literal["rescue", "stop", "keep"]
Unsure = Literal["reread", "keep"]
_WORD_BY_WORD = frozenset(map(resolve_prompt, ("document", "ocr", "free")))  # prompts that leave the network no choice
DEVICES = ("cpu", "cuda", "mps")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_NAMES = ("auto", *DTYPES, *BITS)
_TRIAL, _LEAST = 64, 8  # tokens that tell which way up a page is, and the fewest that tell anything
_SMALL = 256 * 2**20  # bytes; up to here a checkpoint is widened to float32 on a CPU, which is faster and exact


def load(
    name_or_dir: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    *,
    batch: int | None = None,
    memory: int | str | None = None,
    lazily: bool = False,
) -> OCR:
    """A reader: `nano`, a folder, or a hub name; None takes the published checkpoint if it is here, else nano.

    device: auto (CUDA, else MPS, else CPU) or a torch device; dtype: auto, float32, bfloat16 or float16, and int8 or
    int4 for a decoder in few bits beside an encoder as auto has it. On a CPU, auto keeps a large checkpoint as it is
    stored, mapped into memory and not copied before it is asked often (docs/speed.md). But where the CPU does not
    multiply bfloat16, the encoder is float32 unless float16 is asked for. batch: how many pages are read at once, 8
    unless it is said. memory: most bytes, or such as "4G", for the keys and values of all their places, half of what is
    free unless it is said. lazily: the weights are loaded when a page needs them, and what is wrong with them is said
    then. Raises InputError.
    """
    where = choose_device(device)  # before anything is downloaded
    check_dtype(dtype)
    room = parse_bytes(memory) if isinstance(memory, str) else memory
    _check_batch(batch)
    folder = find_checkpoint(str(name_or_dir) if name_or_dir is not None else default_checkpoint())
    config = read_config(folder)
    file = folder / "tokenizer.json"
    # Without a tokenizer a network still computes; what needs text says so when it is asked.
    tokenizer = Tokenizer(file) if file.exists() or config.image_token_id is None else None
    if tokenizer and config.image_token_id not in (None, tokenizer.image):
        raise InputError(f"{file} has {IMAGE} at {tokenizer.image}, config.json at {config.image_token_id}")
    image_token_id = tokenizer.image if tokenizer else config.image_token_id
    assert image_token_id is not None
    network = partial(_load_network, folder, config, image_token_id, where, dtype)
    return OCR(network if lazily else network(), tokenizer, folder, batch=batch, memory=room)


def _load_network(folder: Path, config: Config, image_token_id: int, device: torch.device, dtype: str) -> Network:
    try:
        kept = choose_dtype(dtype, device, folder)
        network = load_network(folder, config, image_token_id, device=device, dtype=kept)
        if widens_encoder(kept, device):
            network.deep_encoder.float()  # The decoder waits for memory and not for products: it stays as it is.
        if dtype in BITS:
            quantise(network.decoder, BITS[dtype])
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(f"{folder} does not fit into the memory of {device}; try --dtype bfloat16, or cpu") from None
    speed_up(network)
    return network


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
    loops: Loops = "rescue"
    unsure: Unsure = "reread"
    skip_blank: bool = True
    rotate: Rotate = 0
    apart: bool | Child = False

    def check(self) -> None:
        """InputError for options that no page could be read with; asked before a model is loaded in vain."""
        for name in ("mode", "prompt", "pages", "password"):
            text = getattr(self, name)
            if not (isinstance(text, str) or (text is None and name in ("pages", "password"))):
                raise InputError(f"{name} is {text!r}; it must be a text")
        for name in ("dpi", "max_pixels"):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, Real):
                raise InputError(f"{name} is {number!r}; it must be a number")
        get_mode(self.mode)
        self.full_prompt()
        if self.loops not in get_args(Loops):
            raise InputError(f"loops {self.loops!r} is unknown; known: {', '.join(get_args(Loops))}")
        if self.unsure not in get_args(Unsure):
            raise InputError(f"unsure {self.unsure!r} is unknown; known: {', '.join(get_args(Unsure))}")
        if self.rotate not in (AUTO, *TURNS):
            raise InputError(f"rotate {self.rotate!r} is no turn; known: {AUTO}, {', '.join(map(str, TURNS))}")
        self.open(b"")  # looks at what is asked for, opens nothing yet

    @property
    def reads_again(self) -> bool:
        """Whether pages that the network is unsure of are read again: where its words are not its own choice."""
        greedy = self.sampling is None or not self.sampling.temperature
        return self.unsure == "reread" and greedy and self.full_prompt() in _WORD_BY_WORD

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
        return open_pages(
            source,
            pages=self.pages,
            dpi=self.dpi,
            password=self.password,
            max_pixels=self.max_pixels,
            apart=self.apart,
        )


class OCR:
    """A checkpoint that reads: pages in, a Document out."""

    def __init__(
        self,
        network: Network | Callable[[], Network],
        tokenizer: Tokenizer | None,
        source: Path | None = None,
        *,
        batch: int | None = None,
        memory: int | None = None,
    ) -> None:
        """The network on its device, or how to get it, and its tokenizer; `source` is named where one is missing.

        batch: how many pages are read at once (None: 8); memory: bytes for keys and values (None: half of what is
        free when the first page is read).
        """
        _check_batch(batch)
        self._network = network
        self.batch = DEFAULT_BATCH if batch is None else batch
        self._tokenizer = tokenizer
        self._source = source
        self._memory = memory

    @cached_property
    def network(self) -> Network:
        """The network; where it was to be got lazily, InputError if it cannot be."""
        return self._network if isinstance(self._network, Network) else self._network()

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to ids and back; InputError when the checkpoint came without one."""
        if self._tokenizer is None:
            raise InputError(f"{self._source} has no tokenizer.json: it can compute, but not read")
        return self._tokenizer

    @cached_property
    def engine(self) -> Engine:
        """What runs the network for requests."""
        return Engine(self.network, self.tokenizer, memory=self._memory, batch=self.batch)

    def views(self, image: Source, mode: str = DEFAULT_MODE) -> Views:
        """What the network is shown of a page: of an image, or of the first page of a file."""
        return make_views(_first_page(image).image, get_mode(mode))

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
        rotate: Rotate = 0,
        apart: bool | Child = False,
        keep_images: bool = True,
    ) -> Document:
        """Read a file, bytes or an image whole; every page of it has a Transcript with a status.

        mode: one of dsocr.MODES.
        prompt: a name of dsocr.prompts, `locate:TEXT`, or any text. pages: such as "1-3,7,10-", from 1. dpi and
        password are for PDFs. rotate: degrees to turn every page by, clockwise, or "auto", which tries all four ways
        for a page that looks turned. apart: files are opened in a child process, as in open_pages.
        keep_images False lets go of each page's picture when it has been read: figures and layout pictures can then not
        be cut from the Document. A page that the network was unsure of is read again, and the surest text taken;
        `readings` with Options(unsure="keep") reads each once. Raises InputError for what cannot be read at all.
        """
        options = Options(mode, prompt, pages, dpi, password, max_pixels, sampling, rotate=rotate, apart=apart)
        readings = self.readings(source, options)
        transcripts = [reading.transcript(keep_image=keep_images) for reading in readings]
        return Document(name_of(source), tuple(transcripts))

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
        rotate: Rotate = 0,
        apart: bool | Child = False,
    ) -> Iterator[Delta]:
        """The same, as it is written: deltas with their page's number, the last of each page with a finish reason.

        A page that cannot be shown has no deltas; who wants to know of it takes the `readings`. Every page is read
        once: what is told cannot be taken back.
        """
        options = Options(mode, prompt, pages, dpi, password, max_pixels, sampling, rotate=rotate, apart=apart)
        options = replace(options, unsure="keep")
        return (delta for reading in self.readings(source, options) for delta in reading)

    def readings(self, source: Source, options: Options) -> Generator[Reading, None, None]:
        """One Reading for each page, in order; later pages are read on while the deltas of an earlier one are taken.

        At most `batch` pages are read at once, and a few more are kept: memory is bounded by the batch, not by the
        document. Closed early, it cancels every page that was not given away.
        """
        _refuse_folder(source)
        return _of_one(self.readings_of([source], options))

    def readings_of(
        self, sources: Iterable[Source], options: Options, shelf: Shelf | None = None
    ) -> Generator[Reading | SourceEnd, None, None]:
        """The readings of one source after another, each followed by its SourceEnd; `batch` pages at once across all.

        What is wrong with a source stands in its end and costs no other one. Pages that the shelf has are not read
        again. Standard input is read at the call, all else as it is needed.
        """
        options.check()
        prompt, mode = options.full_prompt(), get_mode(options.mode)
        pages = walk(sources, options)
        sampling = replace(options.sampling or Sampling(), stop_loops=options.loops != "keep", logprobs=True)
        rescues, again = options.loops == "rescue", options.reads_again
        begin = partial(self._begin, asked=prompt, mode=mode, sampling=sampling, rescues=rescues, again=again)
        return read_ahead(pages, mode, begin, self.batch, shelf, skip_blank=options.skip_blank, rotate=options.rotate)

    def ask(
        self,
        prompt: str,
        images: tuple[Source, ...] = (),
        mode: str = DEFAULT_MODE,
        sampling: Sampling | None = None,
    ) -> Generation:
        """One answer to a prompt about no image, one, or several: each `<image>` in the prompt stands for one."""
        asked, kind = resolve_prompt(prompt, with_image=bool(images)), get_mode(mode)
        pages = [_first_page(image) for image in images]
        views = tuple(make_views(page.image, kind) for page in pages)
        generation = self.engine.generate(self.request(asked, views, sampling))
        tokens = sum(tokens_on_page(page.size, view.layout, kind) for page, view in zip(pages, views, strict=True))
        return replace(generation, stats=replace(generation.stats, vision_tokens=tokens))

    def _begin(self, opened: Opened, asked: str, mode: Mode, sampling: Sampling, rescues: bool, again: bool) -> Reading:
        page, views, labels = opened.page, opened.views, labels_are_text(asked)
        if isinstance(page, BrokenPage) or views is None:
            return Reading(page, iter(()), labels, render_seconds=opened.seconds, known=opened.known)
        engine = self.engine  # A network that cannot be had is no fault of this page.
        if opened.perhaps_turned:
            page = page.turned(self._find_turn(page, asked, mode, sampling))
            try:
                views = make_views(page.image, mode) if page.rotated else views
            except MemoryError:
                return Reading(BrokenPage(page.source, page.number, NO_ROOM), iter(()))
        request = self.request(asked, (views,), sampling, page.text)
        tokens = tokens_on_page(page.size, views.layout, mode)
        try:
            deltas = engine.stream(request)
        except InputError as error:  # other pages may be smaller: this one must not cost them
            return Reading(BrokenPage(page.source, page.number, str(error)), iter(()), render_seconds=opened.seconds)
        rescue = partial(self._rescue, page, asked, mode, sampling) if rescues else None
        surer = partial(self._look_again, page, asked, mode, sampling) if again else None
        seconds = opened.seconds
        return Reading(page, deltas, labels, vision_tokens=tokens, render_seconds=seconds, rescue=rescue, again=surer)

    def _find_turn(self, page: Page, asked: str, mode: Mode, sampling: Sampling) -> int:
        """By how many degrees a page is to be turned: the way in which the network is surest of the first words."""
        trial = trial_of(sampling)
        requests = [self.request(asked, (make_views(page.turned(turn).image, mode),), trial) for turn in TURNS]
        try:
            streams = [self.engine.stream(request) for request in requests]
            return choose_turn(dict(zip(TURNS, map(sureness, streams), strict=True)))
        except (InputError, MemoryError, RuntimeError) as error:
            if isinstance(error, InputError) or is_out_of_memory(error):
                return 0  # There is no room for the trial; whether there is for the page, the page will say.
            raise

    def _rescue(
        self, page: Page, asked: str, mode: Mode, sampling: Sampling, good: str, between: Callable[[], None]
    ) -> Rescued:
        """What a page comes to of which `good` is what it wrote before it repeated itself."""
        return follow(climb(page, good, mode, sampling), partial(self._try_again, asked, between))

    def _look_again(
        self,
        page: Page,
        asked: str,
        mode: Mode,
        sampling: Sampling,
        text: str,
        confidence: float,
        between: Callable[[], None],
    ) -> Surest:
        """What a page comes to that was read with little confidence."""
        return follow(look_again(page, text, confidence, mode, sampling), partial(self._try_again, asked, between))

    def _try_again(self, asked: str, between: Callable[[], None], attempt: Attempt) -> Said:
        views = make_views(attempt.image, attempt.mode)
        request = self.request(asked, (views,), attempt.sampling)
        begun = tuple(self.tokenizer.encode(attempt.begun, allow_special=True))
        try:
            stream = self.engine.stream(replace(request, ids=request.ids + begun))
        except InputError:  # its prompt is too long
            return Said("", whole=False)
        deltas = list[Delta]()
        for delta in stream:
            deltas.append(delta)
            between()
        text = "".join(delta.text for delta in deltas)
        whole = bool(deltas) and deltas[-1].finish_reason == "stop"
        return Said(text[: stream.loop.start] if stream.loop else text, whole, confidence_of(deltas))

    def request(
        self, prompt: str, views: tuple[Views, ...], sampling: Sampling | None = None, layer: str | None = None
    ) -> Request:
        """What the engine is asked: a prompt with an `<image>` for each page's views.

        layer: the text layer of the page; where it says what the network says, the network is faster.
        """
        ids = self.tokenizer.prompt_ids(prompt, [len(view.layout) for view in views])
        # As its lines stand, and as a paragraph is written: in one line.
        forms = dict.fromkeys(form for form in (layer, " ".join(layer.split())) if form) if layer else ()
        hints = tuple(tuple(self.tokenizer.encode(form, allow_special=False)) for form in forms)
        return Request(tuple(ids), views, sampling or Sampling(), hints)


def walk(sources: Iterable[Source], options: Options) -> Iterator[Page | BrokenPage | SourceEnd]:
    """The pages of one source after another, and the end of each; standard input is read at the call."""
    return chain.from_iterable([_walk(source, options.open(source)) for source in sources])


def _walk(source: Source, pages: Iterator[Page | BrokenPage]) -> Iterator[Page | BrokenPage | SourceEnd]:
    """The pages of a source and its end."""
    steps = _with_end(source, pages)
    # A thread that waits for standard input could never be ended.
    return chain([next(steps)], steps) if isinstance(source, str) and source == STDIN else steps


def _with_end(source: Source, pages: Iterator[Page | BrokenPage]) -> Iterator[Page | BrokenPage | SourceEnd]:
    try:
        yield from pages
    except InputError as error:
        yield SourceEnd(source, error)
    else:
        yield SourceEnd(source)


def trial_of(sampling: Sampling) -> Sampling:
    """How the first words of a page are read that may have to be turned."""
    return replace(sampling, max_tokens=_TRIAL, temperature=0.0, logprobs=True)


def sureness(deltas: Iterable[Delta]) -> float:
    """The mean logarithm of the probabilities that the network gave to its own words."""
    sure = [delta.logprob for delta in deltas if delta.logprob is not None]
    return sum(sure) / len(sure) if len(sure) >= _LEAST else -math.inf


def _of_one(steps: Generator[Reading | SourceEnd, None, None]) -> Generator[Reading, None, None]:
    """The readings of the only source; raises what is wrong with it."""
    with closing(steps):
        for step in steps:
            if isinstance(step, Reading):
                yield step
            elif step.error is not None:
                raise step.error


def _refuse_folder(source: Source) -> None:
    if isinstance(source, (str, os.PathLike)) and holds_documents(source):
        files_of(source)  # says so where there are no pages in it
        kind = "a folder" if os.path.isdir(source) else "an archive"
        raise InputError(f"{show(source)} is {kind} of documents: read its files one by one (dsocr.find_inputs)")


def _first_page(image: Source) -> Page:
    page = next(open_pages(image))
    if isinstance(page, BrokenPage):
        raise InputError(f"{page.source} page {page.number}: {page.reason}")
    return page


def _check_batch(batch: int | None) -> None:
    if batch is not None and batch < 1:
        raise InputError(f"batch is {batch}; it must be 1 or more")


def name_of(source: Source) -> str:
    """What a source is called in its Document."""
    if isinstance(source, Page):
        return source.source
    if isinstance(source, bytes):
        return "bytes"
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "") or "image")
    return "stdin" if source == STDIN else str(source)


def choose_device(name: str) -> torch.device:
    """The device of that name, or the best there is for auto; InputError when it is not on this machine."""
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


def check_dtype(name: str) -> None:
    """InputError for a name of no kind of numbers that `load` knows."""
    if name not in _NAMES:
        raise InputError(f"dtype {name!r} is unknown; known: {', '.join(_NAMES)}")


def choose_dtype(name: str, device: torch.device, folder: Path) -> torch.dtype | None:
    """The kind of numbers that a checkpoint is kept in on a device, by a name such as auto; None: as it is stored."""
    if name in DTYPES:
        return DTYPES[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "mps":
        return torch.float16
    return torch.float32 if stored_bytes(folder) <= _SMALL else None


def describe_dtype(kept: torch.dtype | None, device: torch.device) -> str:
    """What `choose_dtype` has chosen for a device, in words."""
    decoder = str(kept).removeprefix("torch.") if kept else "as stored"
    return f"{decoder}, the encoder float32" if widens_encoder(kept, device) else decoder
