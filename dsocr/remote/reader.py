"""A reader whose model runs elsewhere: the same readings as `OCR` gives, written by one server or several."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from dsocr.document.blocks import Document
from dsocr.engine.request import Sampling
from dsocr.errors import InputError
from dsocr.ocr import Options, name_of, walk
from dsocr.pages import Page, Source, get_mode
from dsocr.prompts import labels_are_text
from dsocr.reading import AUTO, Opened, Reading, Shelf, SourceEnd, read_ahead
from dsocr.remote.dialects import Server, check_all
from dsocr.remote.page import Asked, PageAtServers
from dsocr.remote.pool import Patience, Pool
from dsocr.remote.probe import probe
from dsocr.remote.wire import Waits, parse_address

DEFAULT_BATCH = 16  # pages at once for each server; one that can do with more has them wait in its own line
_MOST_PLACES = 2**31  # of a server that does not say how many it has


@dataclass(frozen=True)
class Habits:
    """How long servers are waited for, and how often they are asked again."""

    waits: Waits = field(default_factory=Waits)
    patience: Patience = field(default_factory=Patience)


class RemoteReader:
    """Servers that were found and asked what they are; pages in, a Document out."""

    def __init__(
        self,
        servers: list[Server],
        *,
        batch: int = DEFAULT_BATCH,
        note: Callable[[str], None] = lambda _: None,
        habits: Habits = Habits(),
    ) -> None:
        """batch: pages at once for each server; note: told in one line what a server cannot do."""
        if batch < 1:
            raise InputError(f"batch is {batch}; it must be 1 or more")
        self.servers = servers
        self.batch, self._note, self._habits = batch, note, habits

    @property
    def name(self) -> str:
        """What kinds of servers there are, for people and for the manifest."""
        return ", ".join(sorted({server.name for server in self.servers}))

    @property
    def model(self) -> str:
        """The model that they serve."""
        return self.servers[0].model

    @property
    def places(self) -> int:
        """Most tokens of prompt and text together that all of them have room for."""
        return min(server.places or _MOST_PLACES for server in self.servers)

    def read(self, source: Source, options: Options = Options(), *, keep_images: bool = True) -> Document:  # noqa: B008
        """Read a file, bytes or an image whole, as `OCR.read` does."""
        transcripts = []
        for step in self.readings_of([source], options):
            if isinstance(step, Reading):
                transcripts.append(step.transcript(keep_image=keep_images))
            elif step.error:
                raise step.error
        return Document(name_of(source), tuple(transcripts))

    def readings_of(
        self, sources: Iterable[Source], options: Options, shelf: Shelf | None = None
    ) -> Generator[Reading | SourceEnd, None, None]:
        """The readings of one source after another, each followed by its SourceEnd, as `OCR.readings_of` gives them.

        InputError at once, in one line, for a mode or a rule that no server has.
        """
        options.check()
        if options.rotate == AUTO:
            raise InputError("which way up a page is cannot be tried at a server: give --rotate off, 90, 180 or 270")
        prompt, mode = options.full_prompt(), get_mode(options.mode)
        sampling = replace(options.sampling or Sampling(), stop_loops=options.loops != "keep", logprobs=True)
        able, lines = check_all(self.servers, mode.name, prompt, sampling)
        for line in [*lines, *filter(None, (server.warning(sampling) for server in able))]:
            self._note(line)
        rescues, again = options.loops == "rescue", options.reads_again
        asked = Asked(prompt, mode, sampling, rescues, again, self._habits.waits)
        pool = Pool(able, self._habits.patience)
        return read_ahead(
            walk(sources, options),
            mode,
            partial(_begin, asked=asked, pool=pool),
            self.batch * len(able),
            shelf,
            skip_blank=options.skip_blank,
            rotate=options.rotate,
            elsewhere=True,
        )


def _begin(opened: Opened, asked: Asked, pool: Pool) -> Reading:
    labels = labels_are_text(asked.prompt)
    if not isinstance(opened.page, Page) or opened.known:
        return Reading(opened.page, iter(()), labels, render_seconds=opened.seconds, known=opened.known)
    page = PageAtServers(opened.page, asked, pool)
    reading = Reading(opened.page, page.elsewhere, labels, render_seconds=opened.seconds)
    weakref.finalize(reading, page.elsewhere.cancel)  # nobody can ask for it any more
    page.start()
    return reading


def connect(
    addresses: Iterable[str],
    model: str | None = None,
    *,
    key: str | None = None,
    batch: int = DEFAULT_BATCH,
    note: Callable[[str], None] = lambda _: None,
    habits: Habits = Habits(),
) -> RemoteReader:
    """A reader at one address or several, such as http://host:8000/v1; each text may hold several with commas.

    model: the name of one that they serve, needed where there are several. key: sent to all of them, and told to
    nobody. A server that does not answer is left out, and told of; InputError where none is left.
    """
    asked = [part for text in addresses for part in text.split(",") if part.strip()]
    places = list(dict.fromkeys(parse_address(text, key) for text in asked))
    if not places:
        raise InputError("no server's address is given: --engine http://host:8000/v1")
    found, errors = list[Server](), list[InputError]()
    with ThreadPoolExecutor(max_workers=min(32, len(places))) as asking:
        for answer in [asking.submit(probe, place, model) for place in places]:
            try:
                found.append(answer.result())
            except InputError as error:
                errors.append(error)
    if not found:
        raise errors[0]
    others = [server for server in found if server.model != found[0].model]
    if others:
        raise InputError(
            f"{others[0].address} serves {others[0].model}, {found[0].address} {found[0].model}: one run has one model"
        )
    for line in [f"left out: {error}" for error in errors] + [_introduce(server) for server in found]:
        note(line)
    return RemoteReader(found, batch=batch, note=note, habits=habits)


def _introduce(server: Server) -> str:
    doubt = f"; {server.dialect.doubt}" if server.dialect.doubt else ""
    return f"{server.address}: {server.name}, {server.model}{doubt}"
