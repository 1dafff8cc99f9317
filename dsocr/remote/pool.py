"""Several servers share the pages: the one with the least to do gets the next, and one that fails rests for a while."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from dsocr.errors import InputError
from dsocr.remote.dialects import Server
from dsocr.remote.wire import Address, BrokenOff, Busy, Fault, Refused

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How often and how long servers are asked again. Pauses are seconds, and double from the first to the longest.

    faults: times that one page may fail on its servers; busy: times that they may put it off. silence: when nothing but
    faults has come for so long, pages are tried once and not waited for.
    """

    faults: int = 6
    busy: int = 100
    first_pause: float = 0.5
    longest_pause: float = 30.0
    silence: float = 120.0


class Pool:
    """The servers of a run, used from many threads."""

    def __init__(self, servers: list[Server], patience: Patience = Patience()) -> None:
        self.servers = servers
        self._patience = patience
        self.mute = set[Address]()  # the servers that do not tell how sure the model is
        self._states = {server.address: _State() for server in servers}
        self._change = threading.Condition()
        self._failing_since: float | None = None  # since when nothing but faults has come

    def ask(self, work: Callable[[Server], T], unwanted: Callable[[], bool]) -> T:
        """What `work` brings at one server or, where that fails, at the next; it may be begun several times.

        unwanted: whether nobody waits for it any more; BrokenOff is raised then. InputError, of one line, when a
        server refuses it, or all tries have failed.
        """
        faults = delays = 0
        while True:
            with self._turn(unwanted) as server:
                try:
                    done = work(server)
                except Busy as busy:
                    delays += 1
                    self.heard()
                    self._rest(server, busy.seconds)
                    if delays > self._patience.busy:
                        raise InputError(f"put off {delays} times, the last time with: {busy}") from None
                except Fault as fault:
                    faults += 1
                    self._failing_since = self._failing_since or time.monotonic()
                    self._rest(server, None)
                    if faults >= self._patience.faults or self._silent:
                        raise InputError(f"tried {faults} times, the last time: {fault}") from None
                except Refused as refusal:
                    self._works(server)
                    raise InputError(str(refusal)) from None
                else:
                    self._works(server)
                    return done

    def heard(self) -> None:
        """A server has said something."""
        self._failing_since = None

    @contextmanager
    def _turn(self, unwanted: Callable[[], bool]) -> Iterator[Server]:
        """The server to ask next; waits while all rest, if not for ever."""
        with self._change:
            while True:
                if unwanted():
                    raise BrokenOff
                server, wait = self._next()
                if wait <= 0 or self._silent:
                    break
                self._change.wait(min(wait, 1.0))
            self._states[server.address].asked += 1
        try:
            yield server
        finally:
            with self._change:
                self._states[server.address].asked -= 1
                self._change.notify_all()

    def _next(self) -> tuple[Server, float]:
        """The server with the least to do among those that do not rest, else the first to get up, and when."""
        now = time.monotonic()

        def order(server: Server) -> tuple[float, int]:
            state = self._states[server.address]
            return max(0.0, state.rests_until - now), state.asked

        server = min(self.servers, key=order)
        return server, order(server)[0]

    def _rest(self, server: Server, seconds: float | None) -> None:
        """It is left alone for a while, the longer the more often it has failed."""
        patience = self._patience
        with self._change:
            state = self._states[server.address]
            pause = min(patience.first_pause * 2.0**state.failures, patience.longest_pause)
            pause = pause * random.uniform(0.75, 1.25) if seconds is None else min(seconds, patience.longest_pause)
            state.failures = min(state.failures + 1, 16)
            state.rests_until = max(state.rests_until, time.monotonic() + pause)

    def _works(self, server: Server) -> None:
        with self._change:
            state = self._states[server.address]
            state.failures, state.rests_until, self._failing_since = 0, 0.0, None
            self._change.notify_all()

    @property
    def _silent(self) -> bool:
        since = self._failing_since
        return since is not None and time.monotonic() - since > self._patience.silence


@dataclass
class _State:
    """How it goes for one server: pages it has been asked for, failures in a row, and until when it rests."""

    asked: int = 0
    failures: int = 0
    rests_until: float = 0.0
