"""Pages read by replicas of the model on the machines of a Ray cluster, one on each GPU or each group of cores."""

from __future__ import annotations

import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch

from dsocr.document.blocks import FAILED
from dsocr.elsewhere import Elsewhere, Known
from dsocr.engine.engine import DEFAULT_BATCH
from dsocr.engine.request import FinishReason, Stats
from dsocr.errors import InputError
from dsocr.ocr import Options, load, walk
from dsocr.pages import Page, Source, get_mode
from dsocr.prompts import labels_are_text
from dsocr.reading import AUTO, Opened, Reading, Shelf, SourceEnd, read_ahead

if TYPE_CHECKING:
    from concurrent.futures import Future

LOCAL = "local"
CORES = 4  # that a replica has where there are no GPUs
_TRIES = 8  # times that a replica may die on a page, or not be there for it
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0  # seconds for which a replica that died is left alone
_KNOCK = 5.0  # seconds until somebody must open the door of a cluster
_START = 1800.0  # seconds until the first one must be ready: it may have to fetch its weights


@dataclass(frozen=True)
class Tells:
    """What a replica is, told when it is ready: its kind of device and of numbers, and the places that it has."""

    device: str
    numbers: str
    places: int


@dataclass(frozen=True)
class Read:
    """What a page came to at a replica, and what it took."""

    known: Known
    stats: Stats
    reason: FinishReason | None


class Replica:
    """One model on one machine, in a process that Ray starts; it reads as many pages at once as it is asked for."""

    def __init__(self, model: str, device: str, dtype: str, batch: int | None, memory: int | str | None) -> None:
        cores = os.environ.get("OMP_NUM_THREADS")  # which Ray sets to the cores that it lends
        if device == "cpu" and cores:
            torch.set_num_threads(int(cores))
        self._ocr = load(model, device, dtype, batch=batch, memory=memory)
        self._engine = self._ocr.engine  # made here, before several threads ask for it

    def tell(self) -> Tells:
        """What it is."""
        network = self._ocr.network
        return Tells(network.device.type, str(network.dtype), network.config.decoder.max_positions)

    def read(self, page: Page, options: Options) -> Read:
        """Read one page to its end; called in several threads at once."""
        (reading,) = self._ocr.readings(page, options)
        reasons = [delta.finish_reason for delta in reading]
        made = reading.transcript(keep_image=False)
        known = Known(made.raw, made.status, made.reason, reading.tokens, made.attempts, made.rotated, made.confidence)
        return Read(known, reading.stats, reasons[-1] if reasons else None)


@dataclass
class _Seat:
    """A replica as the driver sees it: pages that it has, failures in a row, and until when it is left alone."""

    handle: Any
    ready: bool = False
    asked: int = 0
    failures: int = 0
    rests_until: float = 0.0


@dataclass
class _Work:
    """A page on its way."""

    page: Page
    options: Options
    elsewhere: Elsewhere
    tries: int = 0


class Cluster:
    """A reader whose replicas are spread over a cluster; the same readings as `OCR` gives. Close it after use."""

    def __init__(
        self,
        address: str,
        model: str,
        device: str = "auto",
        dtype: str = "auto",
        *,
        batch: int | None = None,
        memory: int | str | None = None,
        cores: int = CORES,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        """address: `local` starts a cluster on this machine, `auto` joins the one that runs here, or as Ray has it.

        model, device, dtype, memory: as `load` has them, on each machine. batch: pages at once for each replica.
        cores: for each replica where there are no GPUs. Waits until the first one is ready. InputError where there is
        no cluster, or no replica comes up.
        """
        batch = DEFAULT_BATCH if batch is None else batch
        if batch < 1 or cores < 1:
            raise InputError(f"batch is {batch} and cores {cores}; each must be 1 or more")
        self._ray, self._ours = _join(address)
        self._batch = batch
        self._lock = threading.Lock()
        self._closed = False
        gpus, count, each = _share(self._ray.cluster_resources(), device, cores)
        self.device = "cuda" if gpus else "cpu" if device == "auto" else device
        # Ray starts a replica anew that died. Its pages are given to others and not kept waiting for it.
        make = self._ray.remote(Replica).options(
            num_gpus=gpus, num_cpus=each, max_restarts=-1, max_task_retries=0, max_concurrency=batch + 1
        )
        self._seats = [_Seat(make.remote(model, self.device, dtype, batch, memory)) for _ in range(count)]
        try:
            self.tells = self._await_first()
        except BaseException:
            self.close()
            raise
        note(f"{count} replicas on {self.name}, {batch} pages at once on each")

    @property
    def name(self) -> str:
        """What it is, for people and for the manifest."""
        return f"ray {self.tells.device}"

    def readings_of(
        self, sources: Iterable[Source], options: Options, shelf: Shelf | None = None
    ) -> Generator[Reading | SourceEnd, None, None]:
        """The readings of one source after another, each followed by its SourceEnd, as `OCR.readings_of` gives them.

        The pages are opened here, and their text comes whole.
        """
        options.full_prompt()
        there = replace(
            options,
            pages=None,
            password=None,
            skip_blank=False,  # they do not get so far
            rotate=AUTO if options.rotate == AUTO else 0,
            apart=False,
        )
        return read_ahead(
            walk(sources, options),
            get_mode(options.mode),
            partial(self._begin, options=there),
            self._batch * len(self._seats),
            shelf,
            skip_blank=options.skip_blank,
            rotate=0 if options.rotate == AUTO else options.rotate,
            elsewhere=True,
        )

    def close(self) -> None:
        """The replicas end, and so does the cluster if it was started here."""
        self._closed = True
        for seat in self._seats:
            self._ray.kill(seat.handle, no_restart=True)
        if self._ours:
            self._ray.shutdown()

    def _begin(self, opened: Opened, options: Options) -> Reading:
        labels = labels_are_text(options.full_prompt())
        if not isinstance(opened.page, Page) or opened.known:
            return Reading(opened.page, iter(()), labels, render_seconds=opened.seconds, known=opened.known)
        work = _Work(opened.page, options, Elsewhere())
        reading = Reading(opened.page, work.elsewhere, labels, render_seconds=opened.seconds)
        weakref.finalize(reading, work.elsewhere.cancel)
        self._submit(work)
        return reading

    def _submit(self, work: _Work) -> None:
        """Give a page to the replica that has the least to do; where all rest, when the first has rested."""
        if self._closed or work.elsewhere.over:
            return
        with self._lock:
            now = time.monotonic()
            seat = min(self._seats, key=lambda seat: (not seat.ready, max(0.0, seat.rests_until - now), seat.asked))
            wait = seat.rests_until - now
            if wait <= 0:
                seat.asked += 1
        if wait > 0:
            timer = threading.Timer(wait, self._submit, [work])
            timer.daemon = True
            timer.start()
            return
        future = seat.handle.read.remote(work.page, work.options).future()
        future.add_done_callback(partial(self._take, work, seat))

    def _take(self, work: _Work, seat: _Seat, future: Future[Read]) -> None:
        """What came of a page: it is handed on, or given to another replica."""
        if self._closed:
            return
        error = future.exception()
        died = isinstance(error, self._ray.exceptions.RayActorError)
        with self._lock:
            seat.asked -= 1
            seat.failures = seat.failures + 1 if died else 0
            if died and seat.rests_until < time.monotonic():
                seat.rests_until = time.monotonic() + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(seat.failures, 16))
        work.tries += died
        if died and work.tries < _TRIES:
            self._submit(work)
        elif error is not None:
            why = f"its replica died, {work.tries} times" if died else f"its replica failed: {_brief(error)}"
            work.elsewhere.end(Known("", FAILED, why, 0, rotated=work.page.rotated), Stats())
        else:
            read = future.result()
            if read.known.raw:
                work.elsewhere.write(read.known.raw)
            work.elsewhere.end(read.known, read.stats, read.reason)

    def _await_first(self) -> Tells:
        """Wait for a replica; the others get pages when they are ready."""
        refs = [seat.handle.tell.remote() for seat in self._seats]
        for seat, ref in zip(self._seats, refs, strict=True):
            ref.future().add_done_callback(partial(_mark_ready, seat))
        ready, _ = self._ray.wait(refs, num_returns=1, timeout=_START)
        for seat, ref in zip(self._seats, refs, strict=True):
            seat.ready = seat.ready or ref in ready
        if not ready:
            raise InputError(f"no replica was ready within {_START:.0f} seconds: is there a free GPU or core?")
        try:
            tells: Tells = self._ray.get(ready[0])
        except self._ray.exceptions.RayError as error:
            raise InputError(f"a replica cannot be started: {_brief(error)}") from None
        return tells


def _mark_ready(seat: _Seat, future: Future[Tells]) -> None:
    seat.ready = future.exception() is None


def _join(address: str) -> tuple[ModuleType, bool]:
    """Ray, and whether its cluster was started here."""
    try:
        import ray
    except ImportError:
        raise InputError("--ray needs the package ray: pip install 'dsocr[ray]'") from None
    if ray.is_initialized():
        return ray, False
    try:
        if address == LOCAL:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
            ray.init(include_dashboard=False, log_to_driver=False)
        else:
            _knock(address)
            ray.init(address=address, log_to_driver=False)
    except Exception as error:  # the library raises nothing narrower where a cluster does not come up
        known = "known: local, auto, HOST:PORT"
        raise InputError(f"no Ray cluster answers at {address!r} ({_brief(error)}); {known}") from None
    return ray, True


def _knock(address: str) -> None:
    """OSError, soon, where nobody listens at HOST:PORT: Ray itself would go on trying for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK).close()


def _share(resources: dict[str, float], device: str, cores: int) -> tuple[int, int, int]:
    """GPUs of each replica, how many replicas, and the cores of each."""
    gpus, there = int(resources.get("GPU", 0)), max(1, int(resources.get("CPU", 1)))
    if device == "cuda" and not gpus:
        raise InputError("device 'cuda' is not in this cluster; it has no GPUs")
    if gpus and device in ("auto", "cuda"):
        return 1, gpus, 1
    return 0, max(1, there // cores), min(cores, there)


def _brief(error: BaseException) -> str:
    """The last line of an error that says something: what happened, without the way there."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[-1] if lines else type(error).__name__
    return line if len(line) <= 200 else f"{line[:199]}…"
