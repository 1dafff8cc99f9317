"""The one thread that steps the engine, and hands what each request writes to the event loop that waits for it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from contextlib import suppress
from functools import partial

from dsocr.engine.engine import Stream
from dsocr.engine.loops import Loop
from dsocr.engine.request import Delta, Request, Stats
from dsocr.errors import InputError
from dsocr.ocr import OCR
from dsocr.reading import is_out_of_memory
from dsocr.server.told import ReaderFailed, ServerEnds

LOG = logging.getLogger("dsocr.server")
_PATIENCE = 30.0  # seconds that an end waits for the step under way


class Written:
    """What one request writes, put here by the runner's thread and taken in the event loop, as slowly as may be.

    A text ends at the model's context, and so does what waits here.
    """

    def __init__(self) -> None:
        self._stream: Stream | None = None
        self._waiting: list[Delta] = []
        self._error: Exception | None = None
        self._over, self._change = False, asyncio.Event()

    async def take(self) -> list[Delta]:
        """All deltas that have come since, one at least; none after the last, or the error that has ended it."""
        while not self._waiting and not self._over:
            self._change.clear()
            await self._change.wait()
        taken, self._waiting = self._waiting, []
        if not taken and self._error is not None:
            raise self._error
        return taken

    async def end(self) -> None:
        """Waits until nothing more will be written, whether it is taken or not; raises nothing."""
        while not self._over:
            self._change.clear()
            await self._change.wait()

    @property
    def stats(self) -> Stats:
        """What it took so far."""
        return self._stream.stats if self._stream else Stats()

    @property
    def loop(self) -> Loop | None:
        """Where the text began to repeat itself, when that has ended it."""
        return self._stream.loop if self._stream else None

    def close(self) -> None:
        """Write no more; the next step frees what the request holds."""
        if self._stream:
            self._stream.cancel()

    def attach(self, stream: Stream) -> None:
        """It is in the engine. For the runner, in the event loop in which it is taken, as all above."""
        self._stream, self._loop = stream, asyncio.get_running_loop()

    def put(self, deltas: list[Delta], error: Exception | None = None, *, over: bool = True) -> None:
        """More of it, or its end."""
        if not self._over:
            self._waiting += deltas
            self._error, self._over = error, over
            self._change.set()

    def deliver(self, error: Exception | None = None) -> bool:
        """Hand on what the last step brought, or an error; False when nothing more will come. For the thread."""
        assert self._stream is not None
        deltas = list[Delta]()
        try:
            deltas = [] if error else self._stream.take()
        except Exception as raised:
            error = raised
        over = error is not None or self._stream.over
        if deltas or over:
            with suppress(RuntimeError):  # whoever waited is gone, and the loop with it
                self._loop.call_soon_threadsafe(partial(self.put, deltas, in_general_words(error), over=over))
        if over:
            self._stream.cancel()
        return not over


class Runner:
    """The thread's life, from start to close; requests may be submitted from any event loop in between."""

    def __init__(self, ocr: OCR) -> None:
        self._ocr = ocr
        self._arrived: deque[Written] = deque()
        self._live: list[Written] = []
        self._news = threading.Event()
        self._closed = self._stopped = False
        self._thread = threading.Thread(target=self._work, name="dsocr-runner", daemon=True)

    def start(self) -> None:
        """Sets the engine's memory aside and starts the thread; InputError where there is not enough."""
        self._engine = self._ocr.engine
        self._thread.start()

    def stop(self) -> None:
        """Every request ends with ServerEnds after the step under way, and so does the thread; nobody waits for it."""
        self._closed = self._stopped = True
        self._news.set()

    def close(self) -> None:
        """The same, waited for."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join(_PATIENCE)

    @property
    def alive(self) -> bool:
        """Whether requests are answered."""
        return self._thread.is_alive() and not self._closed

    @property
    def running(self) -> int:
        """How many requests are in the engine."""
        return len(self._live) + len(self._arrived)

    def submit(self, request: Request, written: Written) -> None:
        """Let a request join; InputError when its prompt cannot be read, ReaderFailed when the thread has ended."""
        if not self.alive:
            raise self._farewell()
        try:
            written.attach(self._engine.stream(request))
        except RuntimeError as error:  # the engine was closed in this moment, to start anew
            raise ReaderFailed from error
        self._arrived.append(written)
        self._news.set()

    def _work(self) -> None:
        try:
            while not self._closed:
                self._news.clear()
                if not self._step() and not self._arrived:
                    self._news.wait()
        except BaseException:
            LOG.exception("the reader has ended")
        finally:
            self._closed = True
            self._end_all(self._farewell())
            self._engine.close()

    def _farewell(self) -> ReaderFailed:
        """What requests are told when the thread ends or has ended: that it was stopped, or that it failed."""
        return ServerEnds() if self._stopped else ReaderFailed()

    def _step(self) -> bool:
        """One step for all; False when nobody is here."""
        while self._arrived:
            self._live.append(self._arrived.popleft())
        try:
            busy = self._engine.step()
        except Exception as error:  # whose fault it was cannot be told
            LOG.exception("the engine failed and starts anew")
            self._end_all(error)
            self._start_anew()
            return True
        self._live = [written for written in self._live if written.deliver()]
        return busy

    def _end_all(self, error: Exception) -> None:
        while self._arrived:
            self._live.append(self._arrived.popleft())
        for written in self._live:
            written.deliver(error)
        self._live = []

    def _start_anew(self) -> None:
        """Another engine, of whose memory none is in an unknown state."""
        with suppress(Exception):
            self._engine.close()
        self._ocr.__dict__.pop("engine", None)
        self._engine = self._ocr.engine


def in_general_words(error: Exception | None) -> Exception | None:
    """An error as it may be told: a mistake of the person's own, or no more than that there was one."""
    if error is None or isinstance(error, (InputError, ReaderFailed)):
        return error
    if is_out_of_memory(error):
        return InputError("it does not fit in memory; choose a smaller mode")
    LOG.error("a request failed", exc_info=error)
    return ReaderFailed()
