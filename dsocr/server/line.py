"""Who is here, who waits, and whose turn it is: first come, first served, one page of each document at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from dsocr.server.told import Busy

_LONGEST = 60  # seconds after which a request that was refused may come again, at most
_WEIGHT = 0.2  # of the newest request in the usual time of one


class Line:
    """Requests come in by a door that is shut when too many are here; pages, and chats, wait for one of the seats.

    For one event loop at a time.
    """

    def __init__(self, seats: int, most: int) -> None:
        """seats: pages that are opened and written about at once; most: requests here at once, seated or not."""
        self.seats, self.most = seats, most
        self.here = self.seated = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._usual = 1.0

    @property
    def waiting(self) -> int:
        """How many wait for a seat; a document that is being read waits with one page at most."""
        return sum(not turn.done() for turn in self._waiting)

    def check(self) -> None:
        """Busy where a request that came now would be refused."""
        if self.here >= self.most:
            raise Busy(self._patience())

    @contextmanager
    def place(self) -> Iterator[None]:
        """A request is here as long as this is held; Busy where there are too many."""
        self.check()
        self.here, began = self.here + 1, time.monotonic()
        try:
            yield
        finally:
            self.here -= 1
            self._usual += _WEIGHT * (time.monotonic() - began - self._usual)

    @asynccontextmanager
    async def seat(self) -> AsyncIterator[None]:
        """One of the seats, when its turn has come."""
        await self.sit_down()
        try:
            yield
        finally:
            self.stand_up()

    async def sit_down(self) -> None:
        """Waits for a seat, to be given back by stand_up."""
        if self.seated < self.seats and not self._waiting:
            self.seated += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.stand_up()  # the seat was just given, and nobody takes it
            else:
                with suppress(ValueError):  # whoever stood up has seen already that nobody waits here
                    self._waiting.remove(turn)
            raise

    def stand_up(self) -> None:
        """The seat goes to whoever has waited longest."""
        self.seated -= 1
        while self._waiting and self.seated < self.seats:
            turn = self._waiting.popleft()
            if not turn.done():
                self.seated += 1
                turn.set_result(None)

    def _patience(self) -> int:
        """Seconds after which there may be room: as long as a request takes, as they are served so many at once."""
        return round(min(_LONGEST, max(1.0, self._usual)))
