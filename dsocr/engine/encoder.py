"""Encodes pages ahead, in one thread of its own, while the decoder writes what others say."""

from __future__ import annotations

import collections
import ctypes
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import torch
from torch import Tensor

from dsocr.model.network import Network
from dsocr.views import Views

# How many views are shown to the network at once: more pay where arithmetic is plentiful, on a CPU they only make
# the first page wait for the others.
_VIEWS_AT_ONCE = {"cuda": 64}
_FEW = 4
_PATIENCE = 10.0  # seconds that an end waits for the operation under way


class _End(BaseException):
    """Raised in the thread from outside, when it is to end."""


class Look:
    """Pages to be encoded for one request: `rows` [places, width] come later, or an `error`."""

    def __init__(self, views: Sequence[Views]) -> None:
        self.views = views
        self.rows: Tensor | None = None
        self.error: Exception | None = None
        self.seconds = 0.0
        self.asked = self.cancelled = False

    @property
    def size(self) -> int:
        """How many views there are."""
        return sum(1 + len(views.tiles) for views in self.views)


class Encoder:
    """One thread at most; it ends when nothing is left to encode, so that an idle engine has none.

    `tell` is called in that thread whenever looks have got their rows or errors.
    """

    def __init__(self, network: Network, tell: Callable[[], None]) -> None:
        self._network, self._tell = network, tell
        self._lock = threading.Lock()
        self._waiting: collections.deque[Look] = collections.deque()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._most = _VIEWS_AT_ONCE.get(network.device.type, _FEW)
        self._stream = _stream_beside(network.device)

    def ask(self, look: Look, *, first: bool = False) -> None:
        """Encode this some time soon; `first`: before all that wait."""
        look.asked = True
        with self._lock:
            if self._closed:
                return
            self._waiting.appendleft(look) if first else self._waiting.append(look)
            if self._thread is None:
                # A daemon, since Python waits for no other kind to be told of its end: see `close`.
                self._thread = threading.Thread(target=self._work, name="dsocr-encoder", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Ends the thread, in the middle of a page if need be; what waits is never encoded."""
        with self._lock:
            self._closed, thread = True, self._thread
            self._waiting.clear()
        if thread is None or thread is threading.current_thread():
            return
        # Between two operations of the network: a page can take half a minute, and Python must not end while it runs.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_End))
        thread.join(_PATIENCE)

    def _work(self) -> None:
        with suppress(_End):
            while looks := self._take():
                self._encode(looks)
                self._tell()

    def _take(self) -> list[Look]:
        """The next looks that go together, none when nothing waits: the thread is over then."""
        looks: list[Look] = []
        with self._lock:
            while self._waiting and (not looks or sum(look.size for look in (*looks, self._waiting[0])) <= self._most):
                look = self._waiting.popleft()
                if not look.cancelled:
                    looks.append(look)
            if not looks:
                self._thread = None
        return looks

    def _encode(self, looks: list[Look]) -> None:
        try:
            self._fill(looks)
        except Exception as error:  # whatever it is, it is raised where the stream is read
            if len(looks) == 1:
                looks[0].error = error
                return
            for look in looks:  # which of them was it?
                self._encode([look])

    @torch.inference_mode()
    def _fill(self, looks: list[Look]) -> None:
        began = time.perf_counter()
        with torch.cuda.stream(self._stream):
            rows = iter(self._network.encode_many([views for look in looks for views in look.views]))
            filled = [torch.cat([next(rows) for _ in look.views]) for look in looks]
        if self._stream is not None:
            self._stream.synchronize()
            for own in filled:  # whose memory is not to be used again before the decoder has read it
                own.record_stream(torch.cuda.default_stream(own.device))
        each = (time.perf_counter() - began) / sum(look.size for look in looks)
        for look, own in zip(looks, filled, strict=True):
            look.seconds = each * look.size
            look.rows = own  # last: whoever sees it finds the seconds


def _stream_beside(device: torch.device) -> torch.cuda.Stream | None:
    """On a GPU, a queue of its own: the decoder's short steps do not wait until a batch of views is through."""
    if device.type != "cuda":
        return None
    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.default_stream(device))  # where the weights were put in place
    return stream
