"""Stands where the engine does: a real worker, server and dialect around it, and a given text for every page."""

from __future__ import annotations

import time

from dsocr.engine.request import Delta, Request, Stats


class DictatedEngine:
    """Writes `text` for each request, so many letters in a step; an exception in its place is raised at the request.

    until: after so many letters it waits for `go_on`.
    """

    context_limit = 8192

    def __init__(self, text: str | Exception = "") -> None:
        self.asked: Request | None = None
        self.text, self.letters, self.finish_reason = text, 10_000, "stop"
        self.until: int | None = None
        self._live: list[DictatedStream] = []

    def stream(self, request: Request) -> DictatedStream:
        self.asked = request
        if isinstance(self.text, Exception):
            raise self.text
        stream = DictatedStream(self, self.text)
        self._live.append(stream)
        return stream

    def step(self) -> bool:
        self._live = [stream for stream in self._live if not stream.over]
        for stream in self._live:
            stream.write(self.letters if self.until is None else min(self.letters, self.until - stream.written))
        time.sleep(0.001 if self.until is None else 0.02)
        return bool(self._live)

    @property
    def busy(self) -> bool:
        return any(not stream.over for stream in self._live)

    def go_on(self) -> None:
        self.until = None

    def close(self) -> None:
        pass


class DictatedStream:
    loop, stats = None, Stats()

    def __init__(self, engine: DictatedEngine, text: str) -> None:
        self._engine, self._rest = engine, text
        self._waiting: list[Delta] = []
        self.over, self.written = False, 0

    def write(self, letters: int) -> None:
        self.written += letters
        text, self._rest = self._rest[:letters], self._rest[letters:]
        if text:
            self._waiting.append(Delta(text, (7,)))
        if not self._rest:
            self._waiting.append(Delta("", (), self._engine.finish_reason))
            self.over = True

    def take(self) -> list[Delta]:
        taken, self._waiting = self._waiting, []
        return taken

    def cancel(self) -> None:
        self.over = True
